"""The difference between what must be and what is, and making it go away: survey, plan, apply, verify."""
