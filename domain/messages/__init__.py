"""Requests and results of activities and workflows, one module for each subject."""
