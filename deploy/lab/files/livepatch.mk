# Read after Xen's own Makefile: what a live patch needs of a build, without building Xen again.
payload:
	$(Q)$(MAKE) $(build)=tools
	$(Q)$(MAKE) $(build)=. include/xen/compile.h
	$(Q)$(MAKE) $(build)=include all
	$(Q)$(MAKE) $(build)=arch/$(SRCARCH) include
	$(Q)$(MAKE) $(build)=. arch/$(SRCARCH)/include/asm/asm-offsets.h
	$(Q)$(MAKE) $(build)=test
.PHONY: payload
