//! Questions before something that can not be undone.

use std::io::{self, BufRead as _, Write as _};

use serde_json::json;

use crate::compat::Borg;
use crate::context::Context;
use crate::exit_code::{CANCELLED, Failure};

/// What is asked, and the variable that answers it for programs.
pub struct Question<'a> {
    /// The question; the answer that agrees is `YES`.
    pub message: &'a str,
    /// The environment variable, which is also its message id.
    pub variable: &'static str,
}

impl Question<'_> {
    /// Asks, unless the environment has the answer. Anything but `YES` (of the variable also `yes`) is a refusal.
    ///
    /// # Errors
    /// `CancelledByUser`.
    pub fn ask(&self, context: &Context) -> Result<(), Failure> {
        let json = context.common.log_json;
        let variable = Borg::variable(context.borg.as_ref(), self.variable);
        let tell = |kind: &str, message: &str| {
            let text = if json {
                let is_prompt = kind == "question_prompt";
                let line = json!({ "type": kind, "message": message, "msgid": variable, "is_prompt": is_prompt });
                format!("{line}\n")
            } else if kind == "question_prompt" {
                message.to_owned()
            } else {
                format!("{message}\n")
            };
            // if nobody can be told, nobody is there to agree
            let mut out = io::stderr();
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        };
        if let Some(answer) = context.environment.answer(self.variable)? {
            tell("question_env_answer", &format!("{}\n{answer} (from {variable})", self.message));
            return self.judge(matches!(answer, "YES" | "yes"), &tell);
        }
        tell("question_prompt", self.message);
        let mut answer = String::new();
        // an answer that can not be read is none
        let _ = io::stdin().lock().read_line(&mut answer);
        self.judge(answer.trim_end_matches(['\r', '\n']) == "YES", &tell)
    }

    fn judge(&self, agreed: bool, tell: &dyn Fn(&str, &str)) -> Result<(), Failure> {
        if agreed {
            tell("question_accepted_true", "");
            return Ok(());
        }
        tell("question_accepted_false", "Aborting.");
        Err(Failure::new(CANCELLED, "nothing was done: the answer was not YES"))
    }
}
