-- Answers belong to the system that gave them. Those on record, and those of the system that was asked first about a use
-- case and model, have keys without its name, so that no answer is paid again; every other system's keys carry its name.
CREATE TABLE answer_home (
    use_case     text NOT NULL,
    model        text NOT NULL,
    system       text NOT NULL,
    recorded_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (use_case, model)
);
