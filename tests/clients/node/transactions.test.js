'use strict';

// Multi through the client's transaction: all or nothing, one zxid.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { call, fails, useServer, zookeeper } = require('./suite.js');

const { start } = useServer('transactions');

const commit = (transaction) => call(transaction, 'commit');

test('a commit applies everything under one zxid', async (t) => {
    const { client, path } = await start(t);
    await client.do('create', `${path}/old`);
    const results = await commit(
        client
            .transaction()
            .check(`${path}/old`)
            .create(`${path}/a`, Buffer.from('one'))
            .create(`${path}/a/s-`, zookeeper.CreateMode.PERSISTENT_SEQUENTIAL)
            .setData(`${path}/a`, Buffer.from('two'))
            .remove(`${path}/old`),
    );
    assert.equal(results.length, 5);
    assert.equal(results[1].path, `${path}/a`);
    assert.equal(results[2].path, `${path}/a/s-0000000000`);
    assert.equal(results[3].stat.version, 1);
    const [data, stat] = await client.do('getData', `${path}/a`);
    assert.equal(data.toString(), 'two');
    assert.deepEqual([stat.mzxid, stat.pzxid, results[3].stat.mzxid], [stat.czxid, stat.czxid, stat.czxid]);
    assert.deepEqual((await client.do('getChildren', path))[0], ['a']);
});

test('a failure applies nothing', async (t) => {
    const { client, path } = await start(t);
    await client.do('create', `${path}/a`, Buffer.from('0'));
    const failing = {
        BAD_VERSION: (transaction) => transaction.check(`${path}/a`, 5),
        NO_NODE: (transaction) => transaction.setData(`${path}/missing`, Buffer.from('x')),
        NODE_EXISTS: (transaction) => transaction.create(`${path}/a`),
        NOT_EMPTY: (transaction) => transaction.remove(path),
    };
    for (const [code, add] of Object.entries(failing)) {
        const transaction = client.transaction().create(`${path}/b`).setData(`${path}/a`, Buffer.from('1'));
        add(transaction);
        transaction.remove(`${path}/a`);
        const done = commit(transaction);
        await fails(done, code);
        const [results] = await done.catch((error) => error.results);
        assert.deepEqual(
            results.map((result) => result.err),
            [0, 0, zookeeper.Exception[code], zookeeper.Exception.RUNTIME_INCONSISTENCY],
        );
        assert.deepEqual((await client.do('getChildren', path))[0], ['a']);
        assert.equal((await client.do('getData', `${path}/a`))[0].toString(), '0');
    }
});
