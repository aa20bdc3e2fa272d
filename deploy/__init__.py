"""What is installed around the program: services, server configuration, the real-Xen lab."""
