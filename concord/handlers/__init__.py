"""Where events go: one module for each kind of handler, and the registry that finds them."""

from concord.handlers.registry import Handlers
from concord.handlers.tools import HandlerTools, SendTask
from concord.handlers.workflow_steps import WorkflowSteps

__all__ = ["HandlerTools", "Handlers", "SendTask", "WorkflowSteps"]
