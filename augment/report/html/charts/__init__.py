"""Charts as inline SVG: pure functions of the records, without a script and without a fixed width.

Colours, fonts and strokes are the page's style sheet's, by class name. Widths are percentages, so that text
keeps its size on a telephone and in print.
"""
