"""What people look at: tables in the terminal, and the files beside a dataset."""
