'use strict';

// Sessions and access control: ephemerals, resume, expiry, granted timeouts, digest identities.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { Line, close, fails, long, until, useServer, zookeeper } = require('./suite.js');

const { start, open } = useServer('sessions');
const { ACL, CreateMode, Id, Permission, State } = zookeeper;

test('ephemerals go with their session', async (t) => {
    const { client, path } = await start(t);
    const owner = await open(t);
    await owner.do('create', `${path}/e`, Buffer.from('v'), CreateMode.EPHEMERAL);
    const events = [];
    const stat = await client.do('exists', `${path}/e`, (event) => events.push(event.getName()));
    assert.deepEqual(stat.ephemeralOwner, owner.getSessionId());
    await fails(owner.do('create', `${path}/e/child`), 'NO_CHILDREN_FOR_EPHEMERALS');
    await close(owner);
    assert.equal(await client.do('exists', `${path}/e`), null);
    assert.deepEqual(events, ['NODE_DELETED']);
});

test('the timeout is kept within the bounds of the server', async (t) => {
    for (const [asked, granted] of [[100, 1000], [7000, 7000], [3600000, 60000]]) {
        const client = await open(t, { sessionTimeout: asked });
        assert.equal(client.getSessionTimeout(), granted);
        await close(client);
    }
});

test('a session is resumed by its id and password, and by nothing else', async (t) => {
    const { client, path } = await start(t);
    const line = await Line.open(t);
    const first = await open(t, {}, line.address);
    await first.do('create', `${path}/e`, CreateMode.EPHEMERAL);
    const sessionId = first.getSessionId();
    const sessionPassword = first.getSessionPassword();
    line.cut();
    await until('the loss', () => first.getState() === State.DISCONNECTED);

    // Refused, the client says that the session has expired, which ends only its own attempt.
    const thief = zookeeper.createClient(process.env.ZOOKEEPER_SERVER, {
        sessionId,
        sessionPassword: Buffer.from(sessionPassword.map((byte) => byte ^ 0xff)),
        sessionTimeout: 20000,
    });
    const refused = new Promise((resolve) => thief.once('expired', resolve));
    thief.connect();
    await refused;
    assert.ok(await client.do('exists', `${path}/e`));

    const second = await open(t, { sessionId, sessionPassword });
    assert.deepEqual(second.getSessionId(), sessionId);
    assert.deepEqual((await second.do('exists', `${path}/e`)).ephemeralOwner, sessionId);
    await close(second);
    assert.equal(await client.do('exists', `${path}/e`), null);
    // It is over now, for the first client too.
    const expired = new Promise((resolve) => first.once('expired', resolve));
    line.restore();
    await expired;
});

test('a short loss keeps the session', async (t) => {
    const { client, path } = await start(t);
    const line = await Line.open(t);
    const away = await open(t, {}, line.address);
    const session = away.getSessionId();
    await away.do('create', `${path}/e`, CreateMode.EPHEMERAL);
    line.cut();
    await until('the loss', () => away.getState() === State.DISCONNECTED);
    assert.ok(await client.do('exists', `${path}/e`));
    line.restore();
    await until('the way back', () => away.getState() === State.SYNC_CONNECTED);
    assert.deepEqual(away.getSessionId(), session);
    assert.deepEqual((await away.do('exists', `${path}/e`)).ephemeralOwner, session);
    await close(away);
});

test('expiry', async (t) => {
    const { client, path } = await start(t);
    const line = await Line.open(t);
    const away = await open(t, { sessionTimeout: 1000 }, line.address);
    await away.do('create', `${path}/e`, CreateMode.EPHEMERAL);
    const events = [];
    await client.do('exists', `${path}/e`, (event) => events.push(event.getName()));
    const expired = new Promise((resolve) => away.once('expired', resolve));
    line.cut();
    await until('the end of the ephemeral', () => events.length === 1);
    assert.deepEqual(events, ['NODE_DELETED']);
    assert.equal(await client.do('exists', `${path}/e`), null);
    line.restore();
    await expired;
});

test('digest identities', async (t) => {
    const { client, path } = await start(t);
    const owner = await open(t);
    owner.addAuthInfo('digest', Buffer.from('user:secret'));
    await owner.do('create', `${path}/a`, Buffer.from('v'), ACL.CREATOR_ALL_ACL);
    const [acls, stat] = await owner.do('getACL', `${path}/a`);
    assert.equal(acls.length, 1);
    assert.equal(acls[0].permission, Permission.ALL);
    // base64(sha1("user:secret"))
    const digest = require('node:crypto').createHash('sha1').update('user:secret').digest('base64');
    assert.deepEqual([acls[0].id.scheme, acls[0].id.id], ['digest', `user:${digest}`]);
    assert.equal(stat.aversion, 0);

    await fails(client.do('getData', `${path}/a`), 'NO_AUTH');
    await fails(client.do('setData', `${path}/a`, Buffer.from('x')), 'NO_AUTH');
    await fails(client.do('getChildren', `${path}/a`), 'NO_AUTH');
    await fails(client.do('create', `${path}/a/b`), 'NO_AUTH');
    await fails(client.do('setACL', `${path}/a`, ACL.OPEN_ACL_UNSAFE), 'NO_AUTH');
    client.addAuthInfo('digest', Buffer.from('user:guess'));
    await fails(client.do('getData', `${path}/a`), 'NO_AUTH');
    client.addAuthInfo('digest', Buffer.from('user:secret'));
    assert.equal((await client.do('getData', `${path}/a`))[0].toString(), 'v');

    const readable = [new ACL(Permission.READ, new Id('world', 'anyone'))];
    assert.equal((await owner.do('setACL', `${path}/a`, readable, 0)).aversion, 1);
    const third = await open(t);
    assert.equal((await third.do('getData', `${path}/a`))[0].toString(), 'v');
    await fails(third.do('setData', `${path}/a`, Buffer.from('x')), 'NO_AUTH');
    await fails(third.do('create', `${path}/b`, [new ACL(Permission.ALL, new Id('nosuch', 'x'))]), 'INVALID_ACL');
    await fails(third.do('create', `${path}/b`, ACL.CREATOR_ALL_ACL), 'INVALID_ACL');
});

test('session ids differ', async (t) => {
    const clients = [await open(t), await open(t), await open(t)];
    const ids = clients.map((client) => long(client.getSessionId()));
    assert.equal(new Set(ids).size, 3);
    assert.ok(ids.every((id) => id !== 0n));
    const passwords = clients.map((client) => client.getSessionPassword().toString('hex'));
    assert.equal(new Set(passwords).size, 3);
});
