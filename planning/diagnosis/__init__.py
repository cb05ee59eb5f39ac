"""Diagnosis: why a rollout does not finish, from the live objects of a release."""
