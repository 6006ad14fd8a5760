"""What goes in: sources, the census, and images as uniform pixels."""
