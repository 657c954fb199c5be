-- The budgets that an execution falls under besides its own, in JSON: those around whoever began it; '' for none; never
-- changed. Code that does not know of them begins executions without any.
ALTER TABLE holdfast_execution ADD COLUMN purses TEXT NOT NULL DEFAULT '';
