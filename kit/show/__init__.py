"""What people see: the console, notebooks, progress and figures."""
