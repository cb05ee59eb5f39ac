"""The activity about the prover images that are kept, on the backend host (prover-host.<host>)."""

from temporalio import activity

from domain.images import ImagesReport, ImagesRequest
from domain.ports import ImageStores


class ImageActivities:
    """Needs the registry and the Docker Engine."""

    def __init__(self, stores: ImageStores) -> None:
        """As this machine reaches them."""
        self._stores = stores

    @activity.defn
    def survey_images(self, request: ImagesRequest) -> ImagesReport:
        """List them and, if asked, remove those that nothing keeps; done twice it finds them gone. Heartbeats."""
        return self._stores.survey(request, activity.heartbeat)
