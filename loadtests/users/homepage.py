"""People who open the homepage."""

from locust import FastHttpUser, task


class Visitor(FastHttpUser):
    """Not logged in; sees one of the popular or recommended lists."""

    @task
    def homepage(self) -> None:
        self.client.get("/api/homepage", name="/api/homepage")
