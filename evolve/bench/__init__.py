"""What `pride bench` measures."""
