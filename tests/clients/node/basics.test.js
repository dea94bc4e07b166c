'use strict';

// Create, read, write, delete, mkdirp: values, versions, zxids, errors.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { fails, long, useServer, zookeeper } = require('./suite.js');

const { start, open } = useServer('basics');
const { CreateMode } = zookeeper;

test('create, then get', async (t) => {
    const { client, path } = await start(t);
    assert.equal(await client.do('create', `${path}/a`, Buffer.from('one')), `${path}/a`);
    const [data, stat] = await client.do('getData', `${path}/a`);
    assert.equal(data.toString(), 'one');
    assert.deepEqual([stat.version, stat.cversion, stat.aversion], [0, 0, 0]);
    assert.deepEqual([stat.dataLength, stat.numChildren], [3, 0]);
    assert.equal(long(stat.ephemeralOwner), 0n);
    assert.ok(long(stat.czxid) > 0n);
    assert.deepEqual([stat.mzxid, stat.pzxid, stat.mtime], [stat.czxid, stat.czxid, stat.ctime]);
    assert.ok(Math.abs(Date.now() - Number(long(stat.ctime))) < 60000);
    await fails(client.do('create', `${path}/a`), 'NODE_EXISTS');
    await fails(client.do('create', `${path}/b/c`), 'NO_NODE');
});

test('values come back as they went', async (t) => {
    const { client, path } = await start(t);
    for (const [n, value] of [Buffer.from([0]), Buffer.from('grüße'), Buffer.alloc(900000, 0xa5)].entries()) {
        await client.do('create', `${path}/n${n}`, value);
        const [data, stat] = await client.do('getData', `${path}/n${n}`);
        assert.ok(data.equals(value), `value ${n}`);
        assert.equal(stat.dataLength, value.length);
    }
    // No data at all is stored as such.
    await client.do('create', `${path}/none`);
    const [data, stat] = await client.do('getData', `${path}/none`);
    assert.equal(data, undefined);
    assert.equal(stat.dataLength, 0);
});

test('set counts versions and checks them', async (t) => {
    const { client, path } = await start(t);
    await client.do('create', `${path}/a`, Buffer.from('0'));
    const before = await client.do('exists', `${path}/a`);
    let last = long(before.mzxid);
    for (let version = 0; version < 5; version++) {
        const stat = await client.do('setData', `${path}/a`, Buffer.from(`v${version}`), version);
        assert.equal(stat.version, version + 1);
        assert.ok(long(stat.mzxid) > last);
        assert.deepEqual(stat.czxid, before.czxid);
        last = long(stat.mzxid);
    }
    await fails(client.do('setData', `${path}/a`, Buffer.from('x'), 4), 'BAD_VERSION');
    await fails(client.do('setData', `${path}/missing`, Buffer.from('x')), 'NO_NODE');
    assert.equal((await client.do('getData', `${path}/a`))[0].toString(), 'v4');
});

test('delete', async (t) => {
    const { client, path } = await start(t);
    await client.do('create', `${path}/a`);
    await client.do('create', `${path}/a/b`);
    await fails(client.do('remove', `${path}/a`), 'NOT_EMPTY');
    await fails(client.do('remove', `${path}/a/b`, 7), 'BAD_VERSION');
    await fails(client.do('remove', `${path}/a/c`), 'NO_NODE');
    await client.do('remove', `${path}/a/b`, 0);
    await client.do('remove', `${path}/a`);
    assert.equal(await client.do('exists', `${path}/a`), null);
    await fails(client.do('getData', `${path}/a`), 'NO_NODE');
});

test('children', async (t) => {
    const { client, path } = await start(t);
    assert.deepEqual((await client.do('getChildren', path))[0], []);
    for (const name of ['c', 'a', 'b']) {
        await client.do('create', `${path}/${name}`);
    }
    await client.do('remove', `${path}/b`);
    const [names, stat] = await client.do('getChildren', path);
    assert.deepEqual(names.sort(), ['a', 'c']);
    assert.deepEqual([stat.numChildren, stat.cversion, stat.version], [2, 4, 0]);
    await fails(client.do('getChildren', `${path}/missing`), 'NO_NODE');
});

test('sequential names', async (t) => {
    const { client, path } = await start(t);
    const made = [];
    for (let n = 0; n < 4; n++) {
        made.push(await client.do('create', `${path}/s-`, CreateMode.PERSISTENT_SEQUENTIAL));
    }
    assert.deepEqual(made, [0, 1, 2, 3].map((n) => `${path}/s-000000000${n}`));
    await client.do('remove', made[3]);
    const next = await client.do('create', `${path}/s-`, CreateMode.EPHEMERAL_SEQUENTIAL);
    assert.equal(next, `${path}/s-0000000004`);
    const stat = await client.do('exists', next);
    assert.deepEqual(stat.ephemeralOwner, client.getSessionId());
});

test('mkdirp and removeRecursive', async (t) => {
    const { client, path } = await start(t);
    assert.equal(await client.do('mkdirp', `${path}/x/y/z`, Buffer.from('d')), `${path}/x/y/z`);
    assert.equal((await client.do('getData', `${path}/x/y`))[0].toString(), 'd');
    assert.equal(await client.do('mkdirp', `${path}/x/y/w`), `${path}/x/y/w`);
    assert.deepEqual((await client.do('getChildren', `${path}/x/y`))[0].sort(), ['w', 'z']);
    await client.do('removeRecursive', `${path}/x/y`);
    assert.deepEqual((await client.do('getChildren', `${path}/x`))[0], []);
});

test('requests in flight are answered in order', async (t) => {
    const { client, path } = await start(t);
    const count = 500;
    const order = [];
    const note = (what) => (result) => {
        order.push(what);
        return result;
    };
    const all = [];
    for (let n = 0; n < count; n++) {
        const name = `${path}/n${n}`;
        all.push(client.do('create', name, Buffer.from('0')).then(note(`create ${n}`)));
        all.push(client.do('setData', name, Buffer.from(`value ${n}`), 0).then(note(`set ${n}`)));
        all.push(client.do('getData', name).then(note(`get ${n}`)));
    }
    const results = await Promise.all(all);
    const expected = [];
    for (let n = 0; n < count; n++) {
        expected.push(`create ${n}`, `set ${n}`, `get ${n}`);
        assert.equal(results[3 * n], `${path}/n${n}`);
        assert.equal(results[3 * n + 1].version, 1);
        assert.equal(results[3 * n + 2][0].toString(), `value ${n}`);
        assert.deepEqual(results[3 * n + 2][1], results[3 * n + 1]);
    }
    assert.deepEqual(order, expected);
});

test('chroot', async (t) => {
    const { client, path } = await start(t);
    const inside = await open(t, {}, `${process.env.ZOOKEEPER_SERVER}${path}`);
    assert.equal(await inside.do('create', '/a', Buffer.from('v')), '/a');
    assert.equal((await client.do('getData', `${path}/a`))[0].toString(), 'v');
    assert.deepEqual((await inside.do('getChildren', '/'))[0], ['a']);
});
