"""What the built-in support messages are made of. `{thing}` is a product and `{number}` an order."""

from __future__ import annotations

THINGS = (
    "kettle", "lamp", "tent", "blue jacket", "coffee grinder", "desk", "phone case", "headphones", "keyboard",
    "rain coat", "backpack", "toaster", "bicycle pump", "camera", "garden hose", "tablet", "bookshelf", "drill",
    "yoga mat", "monitor", "sleeping bag", "router", "watch", "suitcase",
)  # fmt: skip

# What is wrong, by category: the sentence that decides it.
PROBLEMS = {
    "billing": (
        "I was charged twice for the {thing}",
        "the invoice for order {number} shows the wrong amount",
        "you took the money for the {thing} from an old card of mine",
        "there is a fee on my bill that nobody can explain",
        "the discount code was not taken off the price of the {thing}",
        "I need a receipt with our tax number for order {number}",
        "my payment for order {number} is shown as open, and I have paid it",
        "I pay for a subscription that I never took out",
    ),
    "delivery": (
        "the {thing} has not arrived",
        "order {number} was sent to my old address",
        "the parcel with the {thing} lies somewhere in a depot for a week now",
        "the driver left the {thing} in the rain and rang nowhere",
        "the tracking of order {number} has not moved for days",
        "half of order {number} is missing from the box",
        "the courier says that nobody was at home, and I was",
        "a neighbour I do not know signed for the {thing}",
    ),
    "account": (
        "I cannot log in any more",
        "the mail that resets my password never comes",
        "somebody has changed the address in my profile",
        "I have two accounts and want them to be one",
        "please delete all that you keep about me",
        "the code that you send to my phone is always refused",
        "my account is locked since I ordered the {thing}",
        "I want to use another mail address from now on",
    ),
    "technical": (
        "the {thing} does not switch on",
        "the {thing} makes a loud noise and then stops",
        "the app closes by itself whenever I open order {number}",
        "your site shows an error when I look at the {thing}",
        "the {thing} no longer connects since the update",
        "the screen with the manual of the {thing} stays white",
        "the {thing} gets so hot that I dare not touch it",
        "the battery of the {thing} is empty after ten minutes",
    ),
    "returns and refunds": (
        "I want to send the {thing} back",
        "where is the label to return order {number} with",
        "the {thing} is too small, and I want a larger one in its place",
        "I returned the {thing} weeks ago and have not seen my money",
        "you refunded only half of what order {number} cost",
        "please cancel order {number} before it is sent",
        "the {thing} came in the wrong colour and has to go back",
        "the shop did not take the {thing} back and told me to write to you",
    ),
    "question": (
        "does the {thing} come with a plug for other countries",
        "when will the {thing} be in stock again",
        "can I get the {thing} in green",
        "how long is the guarantee on the {thing}",
        "which size of the {thing} fits somebody of two metres",
        "do you sell parts for the {thing}",
        "is the {thing} made of wool",
        "may I come and look at the {thing} in your shop",
    ),
}

# What is all right, by category: it is mentioned, and does not decide.
FINE = {
    "billing": ("I have paid for everything", "the invoice is correct", "the discount was taken off as promised"),
    "delivery": ("the parcel came on time", "the driver was friendly", "the box was complete"),
    "account": ("I can log in without trouble", "my profile is up to date", "the new password works"),
    "technical": ("the {thing} works well", "the app runs smoothly", "your site is easy to use"),
    "returns and refunds": ("I do not want to return anything", "the last refund came quickly"),
}

GREETINGS = ("", "Hello, ", "Good morning, ", "Dear team, ", "Hi, ", "To whom it may concern: ")
CLOSINGS = ("", "", " Thank you.", " Kind regards, Jana", " Best wishes from Tomás", " Thanks in advance!")

# How long there is time, and what hangs on it: each adds to the urgency.
DEADLINES = (
    (0, ""),
    (0, " There is no hurry."),
    (1, " I would like an answer by next week."),
    (2, " Please answer within two days."),
    (3, " I need this today."),
    (3, " It has to be solved before this evening."),
)
STAKES = (
    (0, ""),
    (0, " It is only a small thing."),
    (1, " I have written to you before."),
    (2, " Our whole office waits for it."),
    (2, " If nothing happens I will go to a lawyer."),
)
LOWEST, HIGHEST, URGENT = 1, 5, 4
