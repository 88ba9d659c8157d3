"""Reports: one HTML page of finished and unfinished runs, figures and a table for a paper.

Knows what runs leave in their folders, not how they are made.
"""
