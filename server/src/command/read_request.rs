//! What XREAD and XREADGROUP are asked for: their options, streams and IDs.

use alluvium_engine::{EntryId, Member};

use super::arg;
use crate::refusal::Refusal;

/// Which of the two commands it is, and what they do differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Xread,
    Xreadgroup,
}

/// What a command asks for, its streams aside.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) member: Option<Member<'a>>,
    pub(super) count: Option<usize>,
    pub(super) block_ms: Option<u64>,
    pub(super) noack: bool,
    /// CLAIM: how long an entry must have been pending to be taken over.
    pub(super) claim_idle_ms: Option<u64>,
    /// Most entries of all streams together.
    pub(super) max_count: Option<usize>,
    /// Most bytes of the reply, if it has more than one entry.
    pub(super) max_size: Option<usize>,
    /// Index of the first key; behind the keys stand as many IDs.
    pub(super) keys_at: usize,
    pub(super) keys: usize,
}

/// Where to read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// Behind this ID.
    After(EntryId),
    /// `$`: behind the last ID that the stream has now.
    Now,
    /// `+`: the last entry.
    Newest,
    /// `>`: behind the group's cursor.
    Undelivered,
}

impl<'a> Request<'a> {
    pub(super) fn parse(args: &[&'a [u8]], verb: Verb, now_ms: u64) -> Result<Self, Refusal> {
        let mut request = Self {
            member: None,
            count: None,
            block_ms: None,
            noack: false,
            claim_idle_ms: None,
            max_count: None,
            max_size: None,
            keys_at: 0,
            keys: 0,
        };
        let mut at = 1;
        while at < args.len() && request.keys_at == 0 {
            let (name, values) = (args[at], &args[at + 1..]);
            at += match values {
                [_, ..] if arg::is(name, "STREAMS") => {
                    request.take_streams(at + 1, args.len(), verb)?;
                    1
                }
                [group, consumer, ..] if arg::is(name, "GROUP") => {
                    verb.require_group("GROUP")?;
                    request.member = Some(Member { group, consumer });
                    3
                }
                _ if arg::is(name, "NOACK") => {
                    verb.require_group("NOACK")?;
                    request.noack = true;
                    1
                }
                [value, ..] => {
                    request.take(name, value, verb, now_ms)?;
                    2
                }
                [] => return Err(Refusal::SYNTAX),
            };
        }
        request.check(verb)?;
        Ok(request)
    }

    /// Takes an option that has a value.
    fn take(&mut self, name: &[u8], value: &[u8], verb: Verb, now_ms: u64) -> Result<(), Refusal> {
        if arg::is(name, "BLOCK") {
            self.block_ms = Some(arg::block_ms(value, now_ms)?);
        } else if arg::is(name, "COUNT") {
            self.count = Some(arg::count(value)?).filter(|count| *count > 0);
        } else if arg::is(name, "MAXCOUNT") {
            self.max_count = Some(positive(value, "ERR MAXCOUNT must be a positive integer")?);
        } else if arg::is(name, "MAXSIZE") {
            self.max_size = Some(positive(value, "ERR MAXSIZE must be a positive integer")?);
        } else if arg::is(name, "CLAIM") {
            verb.require_group("CLAIM")?;
            self.claim_idle_ms = Some(min_idle_ms(value)?);
        } else {
            return Err(Refusal::SYNTAX);
        }
        Ok(())
    }

    /// Checks how the options go together.
    fn check(&self, verb: Verb) -> Result<(), Refusal> {
        if self.keys_at == 0 {
            return Err(Refusal::SYNTAX);
        }
        if verb == Verb::Xreadgroup && self.member.is_none() {
            return Err(Refusal::new("ERR Missing GROUP option for XREADGROUP"));
        }
        if let (Some(max_count), Some(count)) = (self.max_count, self.count)
            && max_count < count
        {
            return Err(Refusal::new(
                "ERR MAXCOUNT must be greater than or equal to COUNT",
            ));
        }
        Ok(())
    }

    fn take_streams(&mut self, at: usize, end: usize, verb: Verb) -> Result<(), Refusal> {
        if !(end - at).is_multiple_of(2) {
            return Err(Refusal::new(match verb {
                Verb::Xread => {
                    "ERR Unbalanced 'xread' list of streams: for each stream key an ID, '+', or \
                     '$' must be specified."
                }
                Verb::Xreadgroup => {
                    "ERR Unbalanced 'xreadgroup' list of streams: for each stream key an ID or \
                     '>' must be specified."
                }
            }));
        }
        self.keys_at = at;
        self.keys = (end - at) / 2;
        Ok(())
    }

    /// The keys with the text of their IDs.
    pub(super) fn streams<'s>(
        &self,
        args: &'s [&'a [u8]],
    ) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + 's {
        let (keys, ids) = args[self.keys_at..].split_at(self.keys);
        keys.iter().copied().zip(ids.iter().copied())
    }
}

impl Verb {
    /// Refuses an option that only XREADGROUP has.
    fn require_group(self, option: &str) -> Result<(), Refusal> {
        match self {
            Self::Xread => Err(Refusal::format(format_args!(
                "ERR The {option} option is only supported by XREADGROUP. You called XREAD instead."
            ))),
            Self::Xreadgroup => Ok(()),
        }
    }

    pub(super) fn from(self, arg: &[u8]) -> Result<From, Refusal> {
        match (arg, self) {
            (b"$", Self::Xread) => Ok(From::Now),
            (b"+", Self::Xread) => Ok(From::Newest),
            (b">", Self::Xread) => Err(Refusal::new(
                "ERR The > ID can be specified only when calling XREADGROUP using the GROUP \
                 <group> <consumer> option.",
            )),
            (b">", Self::Xreadgroup) => Ok(From::Undelivered),
            (b"$", Self::Xreadgroup) => Err(Refusal::new(
                "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the \
                 history of this consumer by specifying a proper ID, or use the > ID to get new \
                 messages. The $ ID would just return an empty result set.",
            )),
            (b"+", Self::Xreadgroup) => Err(Refusal::new(
                "ERR The + ID is meaningless in the context of XREADGROUP: you want to read the \
                 history of this consumer by specifying a proper ID, or use the > ID to get new \
                 messages. The + ID would just return an empty result set.",
            )),
            // The largest ID and `>` are one and the same to Redis.
            (id, Self::Xreadgroup) => Ok(match arg::id(id)? {
                EntryId::MAX => From::Undelivered,
                id => From::After(id),
            }),
            (id, Self::Xread) => Ok(From::After(arg::id(id)?)),
        }
    }
}

fn positive(value: &[u8], refusal: &'static str) -> Result<usize, Refusal> {
    let number = arg::int_within(value, 1..=i64::MAX, Refusal::new(refusal))?;
    Ok(usize::try_from(number).unwrap_or(usize::MAX))
}

fn min_idle_ms(value: &[u8]) -> Result<u64, Refusal> {
    let not_an_integer = Refusal::new("ERR min-idle-time is not an integer or out of range");
    u64::try_from(arg::int_or(value, not_an_integer)?)
        .map_err(|_| Refusal::new("ERR min-idle-time must be a positive integer"))
}

#[cfg(test)]
mod tests {
    use super::{From, Request, Verb};
    use alluvium_engine::EntryId;

    fn refused(verb: Verb, command: &str) -> String {
        let args: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
        let refusal = Request::parse(&args, verb, 1_000).expect_err(command);
        String::from_utf8_lossy(refusal.text()).into_owned()
    }

    #[test]
    fn options_end_with_the_streams() {
        let args: Vec<&[u8]> = "XREADGROUP NOACK COUNT 5 group g c block 7 STREAMS a COUNT > 0"
            .split(' ')
            .map(str::as_bytes)
            .collect();
        let request = Request::parse(&args, Verb::Xreadgroup, 1_000).unwrap();
        let member = request.member.unwrap();
        assert_eq!((member.group, member.consumer), (&b"g"[..], &b"c"[..]));
        assert_eq!(
            (request.count, request.block_ms, request.noack),
            (Some(5), Some(7), true)
        );
        let streams: Vec<_> = request.streams(&args).collect();
        assert_eq!(
            streams,
            [(&b"a"[..], &b">"[..]), (&b"COUNT"[..], &b"0"[..])]
        );
    }

    #[test]
    fn a_request_needs_streams_and_a_group_where_there_are_groups() {
        assert_eq!(refused(Verb::Xread, "XREAD COUNT 1"), "ERR syntax error");
        assert_eq!(refused(Verb::Xread, "XREAD BLOCK"), "ERR syntax error");
        assert_eq!(
            refused(Verb::Xreadgroup, "XREADGROUP STREAMS a 0"),
            "ERR Missing GROUP option for XREADGROUP"
        );
        assert!(refused(Verb::Xread, "XREAD STREAMS a b 0").starts_with("ERR Unbalanced 'xread'"));
        assert!(refused(Verb::Xread, "XREAD NOACK STREAMS a 0").contains("NOACK option"));
        assert!(refused(Verb::Xread, "XREAD GROUP g c STREAMS a 0").contains("GROUP option"));
    }

    #[test]
    fn limits_of_a_reply_are_positive_and_fit_each_other() {
        for (options, refusal) in [
            ("MAXCOUNT 0", "ERR MAXCOUNT must be a positive integer"),
            ("MAXCOUNT x", "ERR MAXCOUNT must be a positive integer"),
            ("MAXSIZE -1", "ERR MAXSIZE must be a positive integer"),
            (
                "COUNT 3 MAXCOUNT 2",
                "ERR MAXCOUNT must be greater than or equal to COUNT",
            ),
            ("MAXCOUNT", "ERR syntax error"),
        ] {
            let command = format!("XREAD {options} STREAMS a 0");
            let command = command.replace("MAXCOUNT STREAMS a 0", "MAXCOUNT");
            assert_eq!(refused(Verb::Xread, &command), refusal, "{options}");
        }
        let args: Vec<&[u8]> = b"XREAD COUNT 0 MAXCOUNT 2 MAXSIZE 7 STREAMS a 0"
            .split(|byte| *byte == b' ')
            .collect();
        let request = Request::parse(&args, Verb::Xread, 1_000).unwrap();
        assert_eq!((request.max_count, request.max_size), (Some(2), Some(7)));
    }

    #[test]
    fn only_a_group_claims() {
        let refusal = refused(Verb::Xread, "XREAD CLAIM x STREAMS a 0");
        assert!(refusal.starts_with("ERR The CLAIM option is only supported"));
        for (time, refusal) in [
            ("x", "ERR min-idle-time is not an integer or out of range"),
            ("-1", "ERR min-idle-time must be a positive integer"),
        ] {
            let command = format!("XREADGROUP GROUP g c CLAIM {time} STREAMS a >");
            assert_eq!(refused(Verb::Xreadgroup, &command), refusal);
        }
    }

    #[test]
    fn the_largest_id_means_undelivered_to_a_group() {
        let max = EntryId::MAX.to_string();
        assert_eq!(
            Verb::Xreadgroup.from(max.as_bytes()).unwrap(),
            From::Undelivered
        );
        assert_eq!(
            Verb::Xread.from(max.as_bytes()).unwrap(),
            From::After(EntryId::MAX)
        );
        assert!(Verb::Xreadgroup.from(b"$").is_err());
        assert!(Verb::Xreadgroup.from(b"+").is_err());
        assert!(Verb::Xread.from(b">").is_err());
        assert!(Verb::Xread.from(b"-").is_err());
    }
}
