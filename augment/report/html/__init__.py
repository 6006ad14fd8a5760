"""The report: what one document of figures looks like as a page, as JSON and on the dataset card."""
