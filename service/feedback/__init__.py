"""The use cases of feedback: what it means under the served bundle, and many events as a job."""
