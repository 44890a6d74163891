"""The three tests that a team has already: its own words, but for where the functions are from.

They are copied into a folder of its own and run there by pytest as a user runs it.
"""

SECTION = '''\
from validator.pytest_plugin import (
    get_span_from_tempo,
    get_trace_from_tempo,
    scrape_metrics,
    submit_job,
    wait_for_completion,
)


def test_pipeline_produces_connected_trace():
    """Full pipeline job produces a single trace spanning all four services."""
    job_id = submit_job(url="https://example.com")
    wait_for_completion(job_id)

    trace = get_trace_from_tempo(job_id=job_id)
    service_names = {span["service.name"] for span in trace.spans}

    assert "orchestrator" in service_names
    assert "scraper" in service_names
    assert "chunking" in service_names
    assert "embedding-api" in service_names

    # All spans share the same trace_id
    trace_ids = {span["trace_id"] for span in trace.spans}
    assert len(trace_ids) == 1


def test_scrape_task_span_attributes():
    """Scraper task spans must carry all required OTel attributes."""
    required = {"job.id", "job.url", "job.stage", "queue.name", "request.mode"}
    span = get_span_from_tempo(service="scraper", operation="scrape_task")
    for attr in required:
        assert attr in span.attributes, f"Missing required attribute: {attr}"


def test_embedding_operation_label_present():
    """embedding_request_duration_seconds must carry operation label."""
    metrics = scrape_metrics(service="embedding-api")
    read_samples = [m for m in metrics if m.labels.get("operation") == "read"]
    write_samples = [m for m in metrics if m.labels.get("operation") == "write"]
    assert len(read_samples) > 0, "No read samples found"
    assert len(write_samples) > 0, "No write samples found"
'''
TRACE = "test_pipeline_produces_connected_trace"
SPAN = "test_scrape_task_span_attributes"
LABEL = "test_embedding_operation_label_present"
