//! SQL.

use crate::{Level, Mark, call::Seen, draft::Draft, names::same, sql};

/// Members that hold SQL, whatever the tool is called.
const SQL: &[&str] = &["sql", "sql_query", "statement", "statements", "sql_statement"];
/// Members that may.
const MAYBE: &[&str] = &["query", "queries", "q", "stmt", "command", "text", "input"];
/// Words in the name of a tool that asks databases.
const DATABASES: &[&str] = &[
    "sql",
    "query",
    "db",
    "database",
    "postgres",
    "postgresql",
    "pg",
    "mysql",
    "sqlite",
    "bigquery",
    "snowflake",
    "duckdb",
    "clickhouse",
    "execute",
];

pub(crate) fn render(call: &Seen<'_>, draft: &mut Draft) {
    let database = call.words.iter().any(|word| DATABASES.contains(&word.as_str()));
    for (name, value) in call.arguments.members() {
        let named = SQL.iter().any(|known| same(name, known));
        let maybe = MAYBE.iter().any(|known| same(name, known));
        let concerned = named || (maybe && database);
        if !concerned {
            continue;
        }
        let texts = value.as_str().into_iter().chain(value.items().iter().filter_map(|item| item.as_str()));
        for text in texts.take(16) {
            if named || sql::looks_like(text) {
                show(text, draft);
            }
        }
    }
}

fn show(text: &str, draft: &mut Draft) {
    let (statements, doubt) = sql::statements(text);
    if let Some(doubt) = doubt {
        draft.unread(Level::Danger, &format!("the SQL may not be what it seems: {doubt}"));
    }
    let mut lines = Vec::new();
    for statement in &statements {
        let tables = statement.tables.join(", ");
        let about = if tables.is_empty() { String::new() } else { format!(": {tables}") };
        let mark = if statement.level == Level::Danger { Mark::Warning } else { Mark::Plain };
        lines.push((mark, format!("{}{about}", statement.kind)));
        for why in &statement.why {
            draft.finding(statement.level, &format!("`{}` {why}", statement.kind));
        }
    }
    match statements.as_slice() {
        [] => return,
        [only] => {
            let tables = if only.tables.is_empty() { String::new() } else { format!(" on {}", only.tables.join(", ")) };
            draft.headline(format!("Runs SQL: {}{tables}", only.kind));
        }
        many => {
            let kinds: Vec<_> = many.iter().take(4).map(|statement| statement.kind.as_str()).collect();
            let more = if many.len() > 4 { ", …" } else { "" };
            draft.headline(format!("Runs {} SQL statements: {}{more}", many.len(), kinds.join(", ")));
            draft.finding(Level::Caution, "it is more than one statement");
        }
    }
    draft.section("SQL statements and tables", lines.iter().map(|(mark, line)| (*mark, line.as_str())));
}
