//! A decoder driven by small layouts, one character per field. It turns requests, replies and events into named
//! fields with their places in the bytes: the goldens mask by place, the differential test compares by kind, and a
//! person can read what was sent.

use super::wire::op;

/// A decoded field and the bytes it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: &'static str,
    pub at: usize,
    pub len: usize,
    pub value: Value,
}

/// Permissions, scheme and id as they came.
pub type AclEntry = (i32, Vec<u8>, Vec<u8>);

/// The kinds a comparison has to tell apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Int(i32),
    Long(i64),
    Bool(u8),
    Zxid(i64),
    /// Milliseconds since 1970.
    Time(i64),
    Session(i64),
    /// A string or buffer; None is null.
    Bytes(Option<Vec<u8>>),
    /// None is the null list.
    Acls(Option<Vec<AclEntry>>),
    Strings(Option<Vec<Vec<u8>>>),
    /// Pairs of scheme and user.
    Pairs(Vec<(Vec<u8>, Vec<u8>)>),
}

/// Why bytes do not fit a layout: the field and the offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    pub field: &'static str,
    pub at: usize,
}

/// The layout of a Stat: the ephemeral owner is a session, the four times and transaction ids are kinds of their own.
const STAT: &str = "Z:czxid Z:mzxid T:ctime T:mtime i:version i:cversion i:aversion S:ephemeralOwner \
                    i:dataLength i:numChildren Z:pzxid";

/// Reads fields out of bytes; every length is checked before it is used.
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    pub fn at(&self) -> usize {
        self.at
    }

    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn take(&mut self, count: usize, field: &'static str) -> Result<&'a [u8], Misfit> {
        if self.left() < count {
            return Err(Misfit { field, at: self.at });
        }
        let taken = &self.bytes[self.at..self.at + count];
        self.at += count;
        Ok(taken)
    }

    pub fn byte(&mut self, field: &'static str) -> Result<u8, Misfit> {
        Ok(self.take(1, field)?[0])
    }

    pub fn int(&mut self, field: &'static str) -> Result<i32, Misfit> {
        let taken = self.take(4, field)?;
        Ok(i32::from_be_bytes(taken.try_into().expect("4 bytes")))
    }

    pub fn long(&mut self, field: &'static str) -> Result<i64, Misfit> {
        let taken = self.take(8, field)?;
        Ok(i64::from_be_bytes(taken.try_into().expect("8 bytes")))
    }

    pub fn buffer(&mut self, field: &'static str) -> Result<Option<Vec<u8>>, Misfit> {
        let at = self.at;
        match self.int(field)? {
            -1 => Ok(None),
            count if count < 0 => Err(Misfit { field, at }),
            count => Ok(Some(self.take(count as usize, field)?.to_vec())),
        }
    }

    /// A vector's count; None for null. It is not trusted for allocation.
    fn count(&mut self, field: &'static str) -> Result<Option<usize>, Misfit> {
        Ok(match self.int(field)? {
            -1 => None,
            count => Some(count.max(0) as usize),
        })
    }

    fn value(&mut self, kind: u8, name: &'static str) -> Result<Value, Misfit> {
        Ok(match kind {
            b'i' => Value::Int(self.int(name)?),
            b'l' => Value::Long(self.long(name)?),
            b'z' => Value::Bool(self.byte(name)?),
            b'Z' => Value::Zxid(self.long(name)?),
            b'T' => Value::Time(self.long(name)?),
            b'S' => Value::Session(self.long(name)?),
            b's' => Value::Bytes(self.buffer(name)?),
            b'V' => Value::Strings(match self.count(name)? {
                None => None,
                Some(count) => {
                    let mut list = Vec::new();
                    for _ in 0..count {
                        list.push(self.buffer(name)?.unwrap_or_default());
                    }
                    Some(list)
                }
            }),
            b'A' => Value::Acls(match self.count(name)? {
                None => None,
                Some(count) => {
                    let mut list = Vec::new();
                    for _ in 0..count {
                        let perms = self.int(name)?;
                        let scheme = self.buffer(name)?.unwrap_or_default();
                        list.push((perms, scheme, self.buffer(name)?.unwrap_or_default()));
                    }
                    Some(list)
                }
            }),
            b'C' => {
                let mut list = Vec::new();
                for _ in 0..self.count(name)?.unwrap_or(0) {
                    let scheme = self.buffer(name)?.unwrap_or_default();
                    list.push((scheme, self.buffer(name)?.unwrap_or_default()));
                }
                Value::Pairs(list)
            }
            other => panic!("layout character {other}"),
        })
    }

    /// Reads a layout such as `"s:path i:version"`; `X` stands for a Stat.
    pub fn layout(&mut self, layout: &'static str, into: &mut Vec<Field>) -> Result<(), Misfit> {
        for part in layout.split_ascii_whitespace() {
            let (kind, name) = part.split_once(':').expect("a layout part has a colon");
            if kind == "X" {
                self.layout(STAT, into)?;
                continue;
            }
            let at = self.at;
            let value = self.value(kind.as_bytes()[0], name)?;
            into.push(Field { name, at, len: self.at - at, value });
        }
        Ok(())
    }
}

/// The layout of a request record; None when the operation has its own framing or is unknown.
fn request_layout(opcode: i32) -> Option<&'static str> {
    Some(match opcode {
        op::CREATE | op::CREATE2 | op::CREATE_CONTAINER => "s:path s:data A:acl i:flags",
        op::CREATE_TTL => "s:path s:data A:acl i:flags l:ttl",
        op::DELETE | op::CHECK => "s:path i:version",
        op::EXISTS | op::GET_DATA | op::GET_CHILDREN | op::GET_CHILDREN2 => "s:path z:watch",
        op::SET_DATA => "s:path s:data i:version",
        op::SET_ACL => "s:path A:acl i:version",
        op::GET_ACL | op::SYNC | op::GET_EPHEMERALS | op::GET_ALL_CHILDREN_NUMBER => "s:path",
        op::ADD_WATCH => "s:path i:mode",
        op::CHECK_WATCHES | op::REMOVE_WATCHES => "s:path i:type",
        op::SET_WATCHES => "Z:relativeZxid V:data V:exist V:child",
        op::SET_WATCHES2 => "Z:relativeZxid V:data V:exist V:child V:persistent V:recursive",
        op::AUTH => "i:type s:scheme s:auth",
        op::SASL => "s:token",
        op::RECONFIG => "s:joining s:leaving s:members l:config",
        op::PING | op::WHO_AM_I | op::CLOSE_SESSION => "",
        _ => return None,
    })
}

/// The layout of a successful reply's body.
fn reply_layout(opcode: i32) -> Option<&'static str> {
    Some(match opcode {
        op::CREATE => "s:path",
        op::CREATE2 | op::CREATE_CONTAINER | op::CREATE_TTL => "s:path X:stat",
        op::EXISTS | op::SET_DATA | op::SET_ACL => "X:stat",
        op::GET_DATA | op::RECONFIG => "s:data X:stat",
        op::GET_ACL => "A:acl X:stat",
        op::GET_CHILDREN => "V:children",
        op::GET_CHILDREN2 => "V:children X:stat",
        op::SYNC => "s:path",
        op::SASL => "s:token",
        op::GET_EPHEMERALS => "V:ephemerals",
        op::GET_ALL_CHILDREN_NUMBER => "i:number",
        op::ADD_WATCH => "i:err",
        op::WHO_AM_I => "C:identities",
        op::DELETE
        | op::CHECK
        | op::PING
        | op::CHECK_WATCHES
        | op::REMOVE_WATCHES
        | op::AUTH
        | op::SET_WATCHES
        | op::SET_WATCHES2
        | op::CLOSE_SESSION => "",
        _ => return None,
    })
}

/// The fields of a request's record. Bytes left over are told as a field of their own.
pub fn of_request(opcode: i32, body: &[u8]) -> Result<Vec<Field>, Misfit> {
    fields(opcode, body, request_layout)
}

/// The fields of a reply's body; empty bodies are what errors carry.
pub fn of_reply(opcode: i32, body: &[u8]) -> Result<Vec<Field>, Misfit> {
    fields(opcode, body, reply_layout)
}

/// The fields of a WatcherEvent.
pub fn of_event(body: &[u8]) -> Result<Vec<Field>, Misfit> {
    fields(0, body, |_| Some("i:type i:state s:path"))
}

fn fields(opcode: i32, body: &[u8], layouts: fn(i32) -> Option<&'static str>) -> Result<Vec<Field>, Misfit> {
    let mut reader = Reader::new(body);
    let mut found = Vec::new();
    if opcode == op::MULTI || opcode == op::MULTI_READ {
        multi_fields(&mut reader, layouts, &mut found)?;
    } else if let Some(layout) = layouts(opcode) {
        reader.layout(layout, &mut found)?;
    }
    if reader.left() > 0 {
        found.push(Field {
            name: "rest",
            at: reader.at,
            len: reader.left(),
            value: Value::Bytes(Some(body[reader.at..].to_vec())),
        });
    }
    Ok(found)
}

fn multi_fields(
    reader: &mut Reader<'_>,
    layouts: fn(i32) -> Option<&'static str>,
    found: &mut Vec<Field>,
) -> Result<(), Misfit> {
    loop {
        let at = reader.at;
        reader.layout("i:opType z:done i:opErr", found)?;
        let header = Reader::new(&reader.bytes[at..]).int("opType")?;
        if reader.bytes[at + 4] != 0 {
            return Ok(());
        }
        if header == -1 {
            reader.layout("i:err", found)?;
        } else {
            let layout = layouts(header).ok_or(Misfit { field: "opType", at })?;
            reader.layout(layout, found)?;
        }
    }
}

/// The name of an operation code, for people.
pub fn op_name(opcode: i32) -> &'static str {
    match opcode {
        op::CREATE => "create",
        op::DELETE => "delete",
        op::EXISTS => "exists",
        op::GET_DATA => "getData",
        op::SET_DATA => "setData",
        op::GET_ACL => "getACL",
        op::SET_ACL => "setACL",
        op::GET_CHILDREN => "getChildren",
        op::SYNC => "sync",
        op::PING => "ping",
        op::GET_CHILDREN2 => "getChildren2",
        op::CHECK => "check",
        op::MULTI => "multi",
        op::CREATE2 => "create2",
        op::RECONFIG => "reconfig",
        op::CHECK_WATCHES => "checkWatches",
        op::REMOVE_WATCHES => "removeWatches",
        op::CREATE_CONTAINER => "createContainer",
        op::CREATE_TTL => "createTTL",
        op::MULTI_READ => "multiRead",
        op::AUTH => "auth",
        op::SET_WATCHES => "setWatches",
        op::SASL => "sasl",
        op::GET_EPHEMERALS => "getEphemerals",
        op::GET_ALL_CHILDREN_NUMBER => "getAllChildrenNumber",
        op::SET_WATCHES2 => "setWatches2",
        op::ADD_WATCH => "addWatch",
        op::WHO_AM_I => "whoAmI",
        op::CLOSE_SESSION => "closeSession",
        _ => "unknown",
    }
}

/// Fields as one readable line.
pub fn show(fields: &Result<Vec<Field>, Misfit>) -> String {
    let fields = match fields {
        Ok(fields) => fields,
        Err(misfit) => return format!("(does not decode: {} at {})", misfit.field, misfit.at),
    };
    let mut line = String::new();
    for field in fields {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(field.name);
        line.push('=');
        line.push_str(&show_value(&field.value));
    }
    line
}

fn show_value(value: &Value) -> String {
    match value {
        Value::Int(number) => number.to_string(),
        Value::Long(number) | Value::Time(number) => number.to_string(),
        Value::Bool(byte) => byte.to_string(),
        Value::Zxid(number) | Value::Session(number) => format!("{number:#x}"),
        Value::Bytes(None) | Value::Acls(None) | Value::Strings(None) => "null".to_string(),
        Value::Bytes(Some(bytes)) => text(bytes),
        Value::Acls(Some(list)) => {
            let entries: Vec<String> =
                list.iter().map(|(perms, scheme, id)| format!("{perms}:{}:{}", text(scheme), text(id))).collect();
            format!("[{}]", entries.join(" "))
        }
        Value::Strings(Some(list)) => {
            let entries: Vec<String> = list.iter().map(|entry| text(entry)).collect();
            format!("[{}]", entries.join(" "))
        }
        Value::Pairs(list) => {
            let entries: Vec<String> =
                list.iter().map(|(scheme, user)| format!("{}:{}", text(scheme), text(user))).collect();
            format!("[{}]", entries.join(" "))
        }
    }
}

fn text(bytes: &[u8]) -> String {
    const SHOWN: usize = 80;
    let cut = &bytes[..bytes.len().min(SHOWN)];
    let more = if bytes.len() > SHOWN { format!("...({} bytes)", bytes.len()) } else { String::new() };
    format!("\"{}\"{more}", cut.escape_ascii())
}
