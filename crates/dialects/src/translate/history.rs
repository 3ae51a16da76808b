use std::collections::HashMap;

use super::BadRequest;
use crate::ir::{Part, Turn};

/// Joins tool results with their calls: each result learns its tool's name. Every call needs exactly one
/// result and every result its call, or no provider takes the conversation.
pub(crate) fn settle_history(turns: &mut [Turn]) -> Result<(), BadRequest> {
    let mut open: HashMap<String, String> = HashMap::new();
    let mut order: Vec<String> = Vec::new();
    let mut stray: Vec<String> = Vec::new();
    for part in turns.iter_mut().flat_map(|turn| &mut turn.parts) {
        match part {
            Part::ToolCall(call) => {
                order.retain(|id| *id != call.id);
                order.push(call.id.clone());
                open.insert(call.id.clone(), call.name.clone());
            }
            Part::ToolResult { call_id, name, .. } => match open.remove(call_id) {
                Some(called) => {
                    order.retain(|id| id != call_id);
                    name.get_or_insert(called);
                }
                None => stray.push(call_id.clone()),
            },
            _ => {}
        }
    }
    let complaint =
        |what: &str, ids: &[String]| BadRequest { field: None, why: format!("{what}: `{}`", ids.join("`, `")) };
    if !stray.is_empty() {
        return Err(complaint("results of tool calls that are not in the conversation", &stray));
    }
    if !order.is_empty() {
        return Err(complaint("tool calls without a result", &order));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Role, ToolCall};

    fn call(id: &str) -> Part {
        Part::ToolCall(ToolCall { id: id.to_owned(), name: format!("tool-{id}"), ..ToolCall::default() })
    }

    fn result(id: &str) -> Part {
        Part::ToolResult { call_id: id.to_owned(), name: None, parts: Vec::new(), is_error: None, cache: None }
    }

    fn turns(parts: Vec<Part>) -> Vec<Turn> {
        parts.into_iter().map(|part| Turn { role: Role::User, parts: vec![part] }).collect()
    }

    #[test]
    fn a_result_learns_the_name_of_its_tool() {
        let mut settled = turns(vec![call("a"), call("b"), result("b"), result("a"), call("a"), result("a")]);
        settle_history(&mut settled).unwrap();
        assert!(matches!(&settled[2].parts[0], Part::ToolResult { name: Some(name), .. } if name == "tool-b"));
    }

    #[test]
    fn calls_and_results_without_each_other_are_named() {
        let error = settle_history(&mut turns(vec![call("a"), call("b"), result("a")])).unwrap_err();
        assert_eq!(error.why, "tool calls without a result: `b`");
        let error = settle_history(&mut turns(vec![result("x"), result("y")])).unwrap_err();
        assert_eq!(error.why, "results of tool calls that are not in the conversation: `x`, `y`");
    }
}
