use preloop_preview::Level::{Caution, Danger};
use serde_json::json;

use crate::desk::{lines, of, says};

fn sql(text: &str) -> preloop_preview::Preview {
    of("db", "query", &json!({ "sql": text }))
}

#[test]
fn statements_are_named_with_their_tables() {
    let said = sql("WITH old AS (SELECT id FROM archive.orders o JOIN \"Line Items\" l USING (id))\n\
        SELECT * FROM old, `users` u WHERE note = 'DROP TABLE x; --';\nINSERT INTO log VALUES (1)");
    insta::assert_snapshot!(lines(&said, "SQL").join("\n"), @"
      WITH: archive.orders, Line Items, old, users
      INSERT: log
    ");
    assert_eq!(said.risk, Caution);
    assert!(says(&said, "more than one statement"));
}

#[test]
fn what_statements_do_is_said() {
    for (text, says_so) in [
        ("DROP TABLE users", "deletes something and all that is in it"),
        ("drop/**/table users", "deletes something"),
        ("TRUNCATE users", "deletes every row"),
        ("DELETE FROM users", "deletes every row: it has no WHERE"),
        ("DELETE FROM users WHERE id = 1", "deletes rows"),
        ("UPDATE users SET admin = true", "changes every row: it has no WHERE"),
        ("WITH x AS (DELETE FROM users RETURNING *) SELECT * FROM x", "deletes rows"),
        ("EXPLAIN ANALYZE DELETE FROM users WHERE id = 1", "deletes rows"),
        ("SELECT pg_read_file('/etc/passwd')", "reaches out of the database"),
        ("SELECT 1 INTO OUTFILE '/tmp/x'", "reaches out of the database"),
        ("COPY t TO PROGRAM 'sh'", "moves data"),
        ("GRANT ALL ON t TO public", "gives rights away"),
        ("DO $$ BEGIN DELETE FROM t; END $$", "runs a program in the database"),
        ("FROBNICATE t", "is not a statement this reader knows"),
        ("SELECT 1; DROP TABLE t", "deletes something"),
        ("SELECT 'a\\'; DROP TABLE t; --'", "databases disagree"),
        ("SELECT 1 /*! ; DROP TABLE t */", "a comment that some databases carry out"),
        ("SELECT 'open", "a quote in it is not closed"),
    ] {
        let said = sql(text);
        assert_eq!(said.risk, Danger, "{text}: {said}");
        assert!(says(&said, says_so), "{text}: {said}");
    }
}

#[test]
fn a_query_that_is_no_sql_is_left_alone() {
    let said = of("shop", "query", &json!({"query": "select shoes for women"}));
    assert!(said.sections.is_empty(), "{said}");
    let said = of("db", "pg_query", &json!({"query": "SELECT * FROM shoes"}));
    insta::assert_snapshot!(said.headline, @"Runs SQL: SELECT on shoes");
    assert_eq!(said.risk, Caution, "the tool is not known, so even reading is not harmless");
}
