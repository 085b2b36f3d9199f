"""Files as they are: tables, cells, text encodings, pictures, archives and tables of prices.

This room knows no domain: it lies below the catalogue and below domains of a user's own, which both read by it.
"""
