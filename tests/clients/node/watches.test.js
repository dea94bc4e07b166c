'use strict';

// One-shot watches, their order among the replies, and their life over a lost connection.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { Line, close, fails, until, useServer, zookeeper } = require('./suite.js');

const { start, open } = useServer('watches');

// Collects events as "NAME path"; `settled` is all of them that changes made so far can cause,
// because the event of a change comes before the reply to a later request of the same client.
function collector(client) {
    const seen = [];
    const watch = (event) => seen.push(`${event.getName()} ${event.getPath()}`);
    watch.seen = seen;
    watch.settled = async () => {
        await client.do('exists', '/');
        return seen;
    };
    return watch;
}

test('data watch', async (t) => {
    const { client, path } = await start(t);
    const other = await open(t);
    const watch = collector(client);
    await client.do('create', `${path}/a`, Buffer.from('0'));
    await client.do('getData', `${path}/a`, watch);
    await other.do('create', `${path}/a/child`);
    assert.deepEqual(await watch.settled(), []);
    await other.do('setData', `${path}/a`, Buffer.from('1'));
    await other.do('setData', `${path}/a`, Buffer.from('2'));
    assert.deepEqual(await watch.settled(), [`NODE_DATA_CHANGED ${path}/a`]);
    await other.do('remove', `${path}/a/child`);
    await client.do('getData', `${path}/a`, watch);
    await other.do('remove', `${path}/a`);
    assert.deepEqual((await watch.settled()).slice(1), [`NODE_DELETED ${path}/a`]);
    await fails(client.do('getData', `${path}/a`, watch), 'NO_NODE');
});

test('exists watch', async (t) => {
    const { client, path } = await start(t);
    const other = await open(t);
    const watch = collector(client);
    assert.equal(await client.do('exists', `${path}/a`, watch), null);
    await other.do('create', `${path}/a`);
    await other.do('setData', `${path}/a`, Buffer.from('1'));
    assert.deepEqual(await watch.settled(), [`NODE_CREATED ${path}/a`]);
    assert.equal((await client.do('exists', `${path}/a`, watch)).version, 1);
    await other.do('remove', `${path}/a`);
    assert.deepEqual((await watch.settled()).slice(1), [`NODE_DELETED ${path}/a`]);
});

test('child watch', async (t) => {
    const { client, path } = await start(t);
    const other = await open(t);
    const watch = collector(client);
    await client.do('getChildren', path, watch);
    await other.do('setData', path, Buffer.from('x'));
    assert.deepEqual(await watch.settled(), []);
    await other.do('create', `${path}/a`);
    await other.do('create', `${path}/b`);
    assert.deepEqual(await watch.settled(), [`NODE_CHILDREN_CHANGED ${path}`]);
    const [names] = await client.do('getChildren', path, watch);
    assert.deepEqual(names.sort(), ['a', 'b']);
    await other.do('setData', `${path}/a`, Buffer.from('x'));
    assert.equal((await watch.settled()).length, 1);
    await other.do('remove', `${path}/a`);
    assert.deepEqual(await watch.settled(), Array(2).fill(`NODE_CHILDREN_CHANGED ${path}`));
});

test('no reply shows a new value before the event of the old one', async (t) => {
    const { client, path } = await start(t);
    const other = await open(t);
    await client.do('create', `${path}/a`, Buffer.from('0'));
    for (let n = 1; n <= 30; n++) {
        const arrivals = [];
        await client.do('getData', `${path}/a`, () => arrivals.push('event'));
        const change = other.do('setData', `${path}/a`, Buffer.from(String(n)));
        const read = () => client.getData(`${path}/a`, (error, data) => arrivals.push(error ?? data.toString()));
        for (let reads = 0; reads < 20; reads++) {
            read();
        }
        await change;
        read();
        await until('the new value', () => arrivals.includes(String(n)));
        await until('the last reply', () => arrivals.length === 22);
        // Old values, the event, new values: nothing else is possible.
        const turn = arrivals.indexOf('event');
        const old = arrivals.slice(0, turn);
        const fresh = arrivals.slice(turn + 1);
        assert.ok(old.every((value) => value === String(n - 1)), String(arrivals));
        assert.ok(fresh.every((value) => value === String(n)), String(arrivals));
    }
});

test('events come in the order of the changes', async (t) => {
    const { client, path } = await start(t);
    const other = await open(t);
    const watch = collector(client);
    const names = Array.from({ length: 60 }, (_, n) => `${path}/n${n}`);
    for (const name of names) {
        await client.do('create', name);
        await client.do('getData', name, watch);
    }
    const changed = names.map((_, n) => names[(n * 37) % names.length]);
    await Promise.all(changed.map((name) => other.do('setData', name, Buffer.from('x'))));
    assert.deepEqual(await watch.settled(), changed.map((name) => `NODE_DATA_CHANGED ${name}`));
});

test('watches survive a reconnect', async (t) => {
    const { client, path } = await start(t);
    const line = await Line.open(t);
    const away = await open(t, {}, line.address);
    const session = away.getSessionId();
    const watch = collector(away);
    for (const name of ['changed', 'deleted', 'parent', 'quiet']) {
        await client.do('create', `${path}/${name}`);
    }
    await away.do('getData', `${path}/changed`, watch);
    await away.do('exists', `${path}/deleted`, watch);
    await away.do('getChildren', `${path}/parent`, watch);
    await away.do('exists', `${path}/created`, watch);
    await away.do('getData', `${path}/quiet`, watch);
    line.cut();
    await until('the loss', () => away.getState() === zookeeper.State.DISCONNECTED);
    await client.do('setData', `${path}/changed`, Buffer.from('1'));
    await client.do('remove', `${path}/deleted`);
    await client.do('create', `${path}/parent/child`);
    await client.do('create', `${path}/created`);
    assert.deepEqual(watch.seen, []);
    line.restore();
    await until('the events of the time away', () => watch.seen.length >= 4);
    assert.deepEqual((await watch.settled()).slice().sort(), [
        `NODE_CHILDREN_CHANGED ${path}/parent`,
        `NODE_CREATED ${path}/created`,
        `NODE_DATA_CHANGED ${path}/changed`,
        `NODE_DELETED ${path}/deleted`,
    ]);
    assert.deepEqual(away.getSessionId(), session);
    await client.do('setData', `${path}/quiet`, Buffer.from('1'));
    assert.equal((await watch.settled())[4], `NODE_DATA_CHANGED ${path}/quiet`);
    await close(away);
});
