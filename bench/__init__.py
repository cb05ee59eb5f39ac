"""Figures beside what people would use instead, taken in turn within one run."""
