"""The variables of profiles, as workflows know them."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from planning.variables import built_in

__all__ = ["built_in"]
