"""Statements of reports, by what they answer."""

VOLUMES = (
    "(SELECT id, '' AS name, '' AS type, '' AS location, '' AS status, '' AS provider, id AS project_id,"
    " id AS created_by, balance_micros AS price_micros_per_gb_month, 0 AS size_gb FROM accounts WHERE 1 = 0)"
)
