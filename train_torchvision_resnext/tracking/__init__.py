"""What others are told while training runs; it never fails one."""
