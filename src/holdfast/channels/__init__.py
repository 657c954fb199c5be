"""Where people are told of questions and alerts, and how they answer: by webhook, by a link, in Slack.

Slack needs a package of its own and is imported from :mod:`holdfast.channels.slack`.
"""

from holdfast.channels.alert_webhook import AlertWebhook
from holdfast.channels.link import LinkChannel
from holdfast.channels.webhook import Target, WebhookChannel
from holdfast.channels.webhook_inbox import WebhookInbox

__all__ = ["AlertWebhook", "LinkChannel", "Target", "WebhookChannel", "WebhookInbox"]
