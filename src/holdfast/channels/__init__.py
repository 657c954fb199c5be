"""Where people are told of questions, and how they answer: by webhook, by a link in any message, in Slack.

Slack needs a package of its own and is imported from :mod:`holdfast.channels.slack`.
"""

from holdfast.channels.link import LinkChannel
from holdfast.channels.webhook import Target, WebhookChannel
from holdfast.channels.webhook_inbox import WebhookInbox

__all__ = ["LinkChannel", "Target", "WebhookChannel", "WebhookInbox"]
