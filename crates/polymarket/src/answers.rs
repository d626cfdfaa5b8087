//! How the venue's services answer, counted: a service whose words have changed is seen here and not only in silence.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use engine::ports::venue::{PostReply, VenueError};
use serde::Serialize;

use crate::{http::Answer, logins};

/// What the venue's services are asked for by a process that goes on running. Gamma and the leaderboard are none of it:
/// commands ask them (`leader`, `doctor`), whose process ends with the answer and which say themselves what was wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// Order book service: orders, each by itself.
    Orders,
    /// Order book service: cancels.
    Cancels,
    /// Order book service: what became of orders.
    LookUps,
    /// Order book service: its copy of balances and approvals.
    Balances,
    /// Order book service: API credentials.
    Logins,
    /// Order book service: markets, and what a builder charges in them.
    Markets,
    /// Order book service: books.
    Books,
    /// Order book service: its clock and its version of orders.
    Clock,
    /// The geoblock service.
    Region,
    /// Data API: what wallets traded.
    History,
    /// Data API: what wallets hold.
    Positions,
    /// The relayer.
    Relayer,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Orders,
        Self::Cancels,
        Self::LookUps,
        Self::Balances,
        Self::Logins,
        Self::Markets,
        Self::Books,
        Self::Clock,
        Self::Region,
        Self::History,
        Self::Positions,
        Self::Relayer,
    ];

    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Cancels => "cancels",
            Self::LookUps => "order look-ups",
            Self::Balances => "balances",
            Self::Logins => "logins",
            Self::Markets => "markets",
            Self::Books => "books",
            Self::Clock => "clock and version",
            Self::Region => "region",
            Self::History => "trade history",
            Self::Positions => "positions",
            Self::Relayer => "relayer",
        }
    }
}

/// How often a service was asked for something, by how that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// It answered.
    pub answered: u64,
    /// What it said could not be understood, or not be believed.
    pub malformed: u64,
    /// It said no.
    pub refused: u64,
    /// It asked to wait, or would have: the pace that is kept with it has no room.
    pub put_off: u64,
    /// It was not reached, had an error of its own, or was silent for too long.
    pub failed: u64,
    /// Rows of its lists that were left out, because they could not be read.
    pub left_out: u64,
}

impl Tally {
    /// Whether it was asked at all.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        *self != Self::default()
    }
}

/// How one call ended, as somebody judges who wants to know whether the other side is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It answered, whatever it said.
    Answered,
    /// It asked to wait, or is in a mode in which it takes nothing for now.
    PutOff,
    /// It had an error of its own.
    Failed,
    /// It was not reached, or was silent for too long.
    Unreachable,
}

impl End {
    fn of_error(error: &VenueError) -> Self {
        match error {
            VenueError::Malformed { .. }
            | VenueError::Refused { .. }
            | VenueError::NotSigned { .. }
            | VenueError::Senseless { .. } => Self::Answered,
            VenueError::RateLimited { .. } => Self::PutOff,
            // An answer of this kind names its status (`Answer::error`).
            VenueError::Unavailable { reason, .. } if reason.starts_with("status 425") => Self::PutOff,
            VenueError::Unavailable { reason, .. } if reason.starts_with("status ") => Self::Failed,
            VenueError::Timeout { .. } | VenueError::Unavailable { .. } => Self::Unreachable,
        }
    }

    fn of_reply(answer: Option<&Answer>, reply: &PostReply) -> Self {
        match (reply, answer) {
            (PostReply::NotAccepted { retry_after: None, .. } | PostReply::Unknown { .. }, None) => {
                Self::Unreachable
            }
            (PostReply::NotAccepted { .. }, _) => Self::PutOff,
            (PostReply::Unknown { .. }, Some(answer)) if answer.status >= 500 => Self::Failed,
            _ => Self::Answered,
        }
    }
}

/// Somebody who hears how every call ended.
pub trait AnswerWatch: Send + Sync {
    /// A call ended so, and took so long.
    fn ended(&self, topic: Topic, end: End, took: Duration);
}

/// How the venue's services have answered this process so far.
#[derive(Default)]
pub struct Answers {
    tallies: Mutex<[Tally; Topic::ALL.len()]>,
    watch: Option<Arc<dyn AnswerWatch>>,
}

impl Answers {
    /// None yet; somebody hears of each.
    #[must_use]
    pub fn heard_by(watch: Arc<dyn AnswerWatch>) -> Self {
        Self { tallies: Mutex::default(), watch: Some(watch) }
    }

    /// By topic, in the order of [`Topic::ALL`].
    #[must_use]
    pub fn tallies(&self) -> Vec<(Topic, Tally)> {
        Topic::ALL.into_iter().zip(*self.lock()).collect()
    }

    /// Of one topic.
    #[must_use]
    pub fn of(&self, topic: Topic) -> Tally {
        self.tallies().into_iter().find(|(of, _)| *of == topic).map(|(_, tally)| tally).unwrap_or_default()
    }

    /// Counts how a question ends.
    pub(crate) async fn counted<T>(
        &self,
        topic: Topic,
        ask: impl Future<Output = Result<T, VenueError>>,
    ) -> Result<T, VenueError> {
        let answer = ask.await;
        match &answer {
            Ok(_) => self.count(topic, |tally| &mut tally.answered),
            Err(error) => self.count_error(topic, error),
        }
        if let Some(watch) = &self.watch {
            // How long it took is not told: a question waits for our own pace and for logins, too.
            match &answer {
                Ok(_) => watch.ended(topic, End::Answered, Duration::ZERO),
                Err(error) if is_anothers(topic, error) => {}
                Err(error) => watch.ended(topic, End::of_error(error), Duration::ZERO),
            }
        }
        answer
    }

    pub(crate) fn count_error(&self, topic: Topic, error: &VenueError) {
        if is_anothers(topic, error) {
            return;
        }
        self.count(topic, |tally| match error {
            VenueError::Malformed { .. } => &mut tally.malformed,
            VenueError::Refused { .. } | VenueError::NotSigned { .. } | VenueError::Senseless { .. } => {
                &mut tally.refused
            }
            VenueError::RateLimited { .. } => &mut tally.put_off,
            VenueError::Timeout { .. } | VenueError::Unavailable { .. } => &mut tally.failed,
        });
    }

    /// Tells how an exchange with the venue ended in which orders were sent, one or several, and how long it took. What
    /// was never sent, because a login failed or the time was over, says nothing of the venue.
    pub(crate) fn hear_post(&self, answer: Option<&Answer>, reply: &PostReply, took: Duration) {
        if let Some(watch) = &self.watch {
            watch.ended(Topic::Orders, End::of_reply(answer, reply), took);
        }
    }

    /// Counts the reply to one order; `answer` is what it was read from, if the order was sent and answered.
    pub(crate) fn count_reply(&self, answer: Option<&Answer>, reply: &PostReply) {
        self.count(Topic::Orders, |tally| match (reply, answer) {
            (PostReply::Accepted(_) | PostReply::Killed { .. } | PostReply::Duplicated, _) => {
                &mut tally.answered
            }
            (PostReply::Rejected { .. }, _) => &mut tally.refused,
            (PostReply::NotAccepted { .. }, Some(_)) => &mut tally.put_off,
            (PostReply::Unknown { .. }, Some(answer)) if answer.status < 500 => &mut tally.malformed,
            (PostReply::NotAccepted { .. } | PostReply::Unknown { .. }, _) => &mut tally.failed,
        });
    }

    /// Counts rows that are left out.
    pub(crate) fn leave_out(&self, topic: Topic, rows: usize) {
        let rows = u64::try_from(rows).unwrap_or(u64::MAX);
        if let Some(tally) = self.lock().get_mut(topic as usize) {
            tally.left_out = tally.left_out.saturating_add(rows);
        }
    }

    fn count(&self, topic: Topic, of: impl Fn(&mut Tally) -> &mut u64) {
        if let Some(tally) = self.lock().get_mut(topic as usize) {
            let count = of(tally);
            *count = count.saturating_add(1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, [Tally; Topic::ALL.len()]> {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether nobody was asked, or a login failed: that is counted as one, whatever it was for.
fn is_anothers(topic: Topic, error: &VenueError) -> bool {
    let not_asked = matches!(error, VenueError::NotSigned { .. } | VenueError::Senseless { .. });
    not_asked || (topic != Topic::Logins && error.what() == logins::WHAT)
}

#[cfg(test)]
mod tests {

    use super::*;

    fn what() -> String {
        "GET /x".to_owned()
    }

    #[test]
    fn topics_stand_where_they_are_counted() {
        for (at, topic) in Topic::ALL.into_iter().enumerate() {
            assert_eq!(topic as usize, at);
        }
    }

    #[tokio::test]
    async fn each_end_of_a_question_has_its_count() {
        let answers = Answers::default();
        let reason = String::new;
        for end in [
            Ok(()),
            Err(VenueError::Malformed { what: what(), reason: reason() }),
            Err(VenueError::Refused { what: what(), reason: reason() }),
            Err(VenueError::RateLimited { what: what(), retry_after: None }),
            Err(VenueError::Unavailable { what: what(), reason: reason() }),
            Err(VenueError::Timeout { what: what(), after: Duration::ZERO }),
        ] {
            let told = answers.counted(Topic::Books, std::future::ready(end.clone())).await;
            assert_eq!(told, end);
        }
        answers.leave_out(Topic::History, 3);
        let expected = Tally { answered: 1, malformed: 1, refused: 1, put_off: 1, failed: 2, left_out: 0 };
        assert_eq!(answers.of(Topic::Books), expected);
        assert_eq!(answers.of(Topic::History), Tally { left_out: 3, ..Tally::default() });
        assert!(!answers.of(Topic::Orders).is_asked());
    }

    #[tokio::test]
    async fn a_login_is_counted_as_one_only() {
        let answers = Answers::default();
        let error = VenueError::Malformed { what: logins::WHAT.to_owned(), reason: String::new() };
        for topic in [Topic::LookUps, Topic::Logins] {
            let _ = answers.counted(topic, std::future::ready(Err::<(), _>(error.clone()))).await;
        }
        assert_eq!((answers.of(Topic::LookUps).malformed, answers.of(Topic::Logins).malformed), (0, 1));
    }

    #[test]
    fn replies_to_orders_are_told_apart() {
        let text = String::new;
        let answers = Answers::default();
        let unknown = PostReply::Unknown { text: text(), blocked: false };
        let not_now = PostReply::NotAccepted { retry_after: None, text: text() };
        answers.count_reply(Some(&Answer::of(200, "")), &PostReply::Duplicated);
        answers.count_reply(Some(&Answer::of(200, "x")), &unknown);
        answers.count_reply(Some(&Answer::of(500, "x")), &unknown);
        answers.count_reply(None, &unknown);
        answers.count_reply(Some(&Answer::of(425, "x")), &not_now);
        answers.count_reply(None, &not_now);
        let expected = Tally { answered: 1, malformed: 1, put_off: 1, failed: 3, ..Tally::default() };
        assert_eq!(answers.of(Topic::Orders), expected);
    }

    #[derive(Default)]
    struct Heard(Mutex<Vec<(Topic, End, Duration)>>);

    impl AnswerWatch for Heard {
        fn ended(&self, topic: Topic, end: End, took: Duration) {
            self.0.lock().unwrap().push((topic, end, took));
        }
    }

    /// What is said on purpose is no sign of illness; nobody answering, and errors of its own, are.
    #[tokio::test]
    async fn whoever_listens_hears_each_end_once() {
        let heard = Arc::new(Heard::default());
        let answers = Answers::heard_by(Arc::clone(&heard) as _);
        let error = |status: u16| Err::<(), _>(Answer::of(status, "x").error("GET /x"));
        let silent = Err(VenueError::Timeout { what: what(), after: Duration::ZERO });
        let login = Err(VenueError::Timeout { what: logins::WHAT.to_owned(), after: Duration::ZERO });
        for end in [Ok(()), error(404), error(425), error(429), error(503), silent, login] {
            let _ = answers.counted(Topic::Books, std::future::ready(end)).await;
        }
        let not_now = PostReply::NotAccepted { retry_after: None, text: String::new() };
        answers.hear_post(Some(&Answer::of(503, "x")), &not_now, Duration::from_secs(3));
        answers.hear_post(None, &not_now, Duration::ZERO);
        let heard = heard.0.lock().unwrap();
        let ends: Vec<End> = heard.iter().map(|(_, end, _)| *end).collect();
        use End::{Answered, Failed, PutOff, Unreachable};
        assert_eq!(ends, [Answered, Answered, PutOff, PutOff, Failed, Unreachable, PutOff, Unreachable]);
        assert_eq!(heard[0], (Topic::Books, Answered, Duration::ZERO), "our own pace is in its time");
        assert_eq!(heard[6], (Topic::Orders, PutOff, Duration::from_secs(3)));
    }
}
