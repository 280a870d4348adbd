"""An authority on a machine that is never connected: what a site asks of it by file, and what comes back.

The site makes every key, keeps it, and asks (`asking`, `pending`); the offline side judges, shows and signs
(`keeping`, `answering`); the site checks the answer and takes it in (`accepting`).
"""
