"""The two bases of all models, so that payloads stay decodable for ever and files stay strict."""

from pydantic import BaseModel, ConfigDict


class Message(BaseModel):
    """A frozen payload: unknown fields are ignored, so that old and new workers can talk during an upgrade."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Document(BaseModel):
    """A frozen file written by a person: an unknown field is a spelling mistake and refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
