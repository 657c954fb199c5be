-- An index that names the state is written again by each settlement, and was asked for nothing that another does not tell.
DROP INDEX holdfast_hold_open;
