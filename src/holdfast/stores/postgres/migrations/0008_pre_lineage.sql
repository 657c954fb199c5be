-- The budgets that an execution falls under besides its own, in JSON: those around whoever began it; '' for none; never
-- changed. Code that does not know of them begins executions without any.
ALTER TABLE holdfast_execution ADD COLUMN purses text NOT NULL DEFAULT '';

-- How many children of a workflow have not ended, *p_child* aside. Whoever begins another one waits for the end of the
-- transaction, and then counts it: a function sees what was committed while it waited.
CREATE FUNCTION holdfast_siblings_v1(p_tenant text, p_parent text, p_child text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(
        hashtextextended(p_parent || chr(31) || p_tenant, 'holdfast_execution_parent'::regclass::oid::bigint));
    RETURN (SELECT count(*) FROM holdfast_execution AS e
            WHERE e.tenant = p_tenant AND e.parent = p_parent AND e.parent <> '' AND e.ended_at IS NULL
              AND e.workflow_id <> p_child);
END
$$;
