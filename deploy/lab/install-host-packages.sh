#!/bin/sh
# Installs with apt what this machine (Debian 12) needs to build and run the lab, and nothing else:
#
#   qemu-system-x86            the emulated hosts (TCG: no KVM, no privileges on the CPU)
#   mmdebstrap                 their userland
#   e2fsprogs cpio kmod        their disks, initramfs and modules
#   socat openssh-client       their way to Redis, and the way into them
#   gcc make flex bison bc libc6-dev libelf-dev binutils xz-utils
#                              the guests' small kernel and their only program
#   dpkg-dev                   Xen's source, to rebuild it (`lab build-xen`)
#
# The lab itself needs Python 3.11 and no package of it. Run as root.
set -eu
packages="qemu-system-x86 mmdebstrap e2fsprogs cpio kmod socat openssh-client
gcc make flex bison bc libc6-dev libelf-dev binutils xz-utils dpkg-dev"
echo "installing for the lab:" $packages
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $packages
