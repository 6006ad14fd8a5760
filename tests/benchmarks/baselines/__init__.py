"""What we measure ourselves against, each as a competent user would write it. Not a line is tuned to lose."""
