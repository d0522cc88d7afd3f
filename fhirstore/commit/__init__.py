"""The commit protocol, sans-IO: how versions of resources come to be, atomically, on conditional PUTs alone.

Read in this order: `messages` (what a protocol asks of a store and hears back), `single` (one write, from the first
GET to the commit point), `abandoned` (what to do where another writer's reservation stands in the way), `outcome`
(finding out what became of a commit whose answer was lost), `reading` (what a reader may believe), `drive` and `stages`
(running any of these on an ObjectStore, whether or not it decides a commit together with what that follows),
`remembered` (a guess that saves a GET), `turns` (one writer at a time per resource within a process, a courtesy).

Of several resources at one instant: `transaction` (from the first GET to the commit point), `decision` (the record that
says what became of it), `change` and `announcing` (what must be there before), `intents` (what others do who meet it),
`finishing` (what is left to do behind the answer).
"""
