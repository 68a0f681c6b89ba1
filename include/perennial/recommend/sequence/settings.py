"""How the sequence model is built and how long it learns."""

from pydantic import Field

from perennial.foundation.config import Part


class SequenceSettings(Part):
    """The transformer over orders."""

    width: int = Field(64, ge=2, description="of an item's vector and of the state")
    layers: int = Field(1, ge=1)
    heads: int = Field(4, ge=1)
    dropout: float = Field(0.5, ge=0, lt=1, description="while it learns")
    orders: int = Field(128, ge=1, description="it reads so many last orders of a customer")
    lines_for_own: int = Field(10, ge=1, description="an item bought less often has its text's vector alone")
    weeks: int = Field(
        8, ge=1, description="it learns from moments in so many last weeks, half of all at most"
    )
    drawn: int = Field(5_000, ge=1, description="items in the softmax beside those of the customer, about")
    customers: int = Field(32, ge=1, description="in a step")
    moments: int = Field(8, ge=1, description="in a step, of each customer")
    learning_rate: float = Field(0.005, gt=0, le=1)
    vectors_rate: float = Field(0.005, ge=0, description="of that, for the vectors of items")
    decay: float = Field(0.01, ge=0, description="of the weights, for each unit of the learning rate")
    averaged: float = Field(0.99, ge=0, lt=1, description="of the mean of the weights, kept at each step")
    steps: int = Field(100_000, ge=0, description="of learning, at most")
    seconds: float = Field(60, gt=0, description="of learning, at most")
    warm: bool = Field(False, description="it starts from the weights of the version in force")
