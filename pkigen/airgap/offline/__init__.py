"""An authority on a machine that is never connected: what a site requests by file, and what comes back.

The site makes every key, keeps it, and requests certificates (`request`, `pending`); the offline side
reviews, shows and signs (`directory`, `answers`); the site checks the answer and applies it (`acceptance`).
"""
