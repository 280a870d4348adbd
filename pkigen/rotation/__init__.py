"""The phases of a rotation, the steps that carry them out, and the proof that no connection breaks."""
