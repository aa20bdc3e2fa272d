"""What `make run` does: a whole fleet rolled on one machine, with nothing but `xl` simulated."""
