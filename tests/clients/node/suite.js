'use strict';

// Helpers of the Node suite: clients that answer with promises, a znode per test, bounded waits,
// and a network line that can be cut.
//
// The server is named by ZOOKEEPER_SERVER (HOST:PORT). Each test file keeps to a top-level znode
// of its own, so several suites can share the server.

const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const net = require('node:net');
const { after, before } = require('node:test');
const zookeeper = require('node-zookeeper-client');

const SERVER = process.env.ZOOKEEPER_SERVER;
assert.ok(SERVER, 'ZOOKEEPER_SERVER names no server');

// How long a condition may take, in milliseconds, before the test gives up. Generous, because the
// machine may be busy; a passing test never waits this long.
const PATIENCE_MS = 15000;

// Calls a method whose last argument is a callback. Resolves to the callback's one result, or to
// an array of them; rejects with its error, or when no answer comes.
function call(target, method, ...args) {
    return new Promise((resolve, reject) => {
        const timer = setTimeout(
            () => reject(new Error(`no answer to ${method} ${args[0]} in ${PATIENCE_MS} ms`)),
            PATIENCE_MS,
        );
        target[method](...args, (error, ...results) => {
            clearTimeout(timer);
            if (error) {
                error.results = results;
                reject(error);
            } else {
                resolve(results.length > 1 ? results : results[0]);
            }
        });
    });
}

async function until(what, condition) {
    for (const deadline = Date.now() + PATIENCE_MS; !(await condition()); ) {
        assert.ok(Date.now() < deadline, `${what} did not happen in ${PATIENCE_MS} ms`);
        await new Promise((resolve) => setTimeout(resolve, 5));
    }
}

// Asserts that the promise is rejected with this ZooKeeper error code.
async function fails(promise, code) {
    const want = zookeeper.Exception[code];
    assert.ok(want < 0, `no such code: ${code}`);
    await assert.rejects(promise, (error) => {
        assert.equal(error.getCode?.(), want, `${error}, wanted ${code}`);
        return true;
    });
}

// A client of the server (or of an address in front of it) whose session exists.
async function connect(options = {}, address = SERVER) {
    const client = zookeeper.createClient(address, { sessionTimeout: 20000, spinDelay: 50, ...options });
    // Emitter and methods stay the client's own; `do` is the shorthand of the tests.
    client.do = (method, ...args) => call(client, method, ...args);
    client.connect();
    try {
        await until(`the session at ${address}`, () => client.getState() === zookeeper.State.SYNC_CONNECTED);
    } catch (error) {
        client.close();
        throw error;
    }
    return client;
}

// Ends the session and waits for the server's word; what follows sees its ephemerals gone.
async function close(client) {
    const ended = new Promise((resolve) => client.once('disconnected', resolve));
    client.close();
    await ended;
}

// The client's own removeRecursive goes only one level deep.
async function deleteTree(client, path) {
    const [names] = await client.do('getChildren', path);
    for (const name of names) {
        await deleteTree(client, `${path}/${name}`);
    }
    await client.do('remove', path);
}

// Called once per test file: makes the file's top-level znode and deletes it at the end. Returns
// `test`'s companions: `start(t)` gives a client and a fresh znode for the test, `open(t)` one
// more client; both end with the test.
function useServer(name) {
    const root = `/node-${name}-${crypto.randomBytes(6).toString('hex')}`;
    let keeper;
    before(async () => {
        keeper = await connect();
        await keeper.do('create', root);
    });
    after(async () => {
        // A failed test may leave a client that tries to connect for ever; the process ends all the
        // same, a moment after its last test. The timer alone keeps nothing alive.
        setTimeout(() => process.exit(), 2000).unref();
        try {
            await deleteTree(keeper, root);
        } finally {
            await close(keeper);
        }
    });

    let tests = 0;
    const open = async (t, options, address) => {
        const client = await connect(options, address);
        t.after(() => {
            if (client.getState() === zookeeper.State.SYNC_CONNECTED) {
                return close(client);
            }
            client.close();
        });
        return client;
    };
    const start = async (t) => {
        const client = await open(t);
        const path = `${root}/t${tests++}`;
        await client.do('create', path);
        return { client, path };
    };
    return { open, start };
}

// A TCP proxy that can be cut and restored: connections die, and new ones are refused meanwhile.
class Line {
    static async open(t) {
        const line = new Line();
        line.listener = net.createServer((socket) => line.join(socket));
        await new Promise((resolve) => line.listener.listen(0, '127.0.0.1', resolve));
        line.address = `127.0.0.1:${line.listener.address().port}`;
        t.after(() => {
            line.cut();
            line.listener.close();
        });
        return line;
    }

    constructor() {
        this.down = false;
        this.sockets = new Set();
    }

    join(socket) {
        if (this.down) {
            socket.destroy();
            return;
        }
        const at = SERVER.lastIndexOf(':');
        const upstream = net.connect(Number(SERVER.slice(at + 1)), SERVER.slice(0, at));
        for (const [one, other] of [[socket, upstream], [upstream, socket]]) {
            this.sockets.add(one);
            one.setNoDelay();
            one.pipe(other);
            one.on('error', () => {});
            one.on('close', () => {
                this.sockets.delete(one);
                other.destroy();
            });
        }
    }

    cut() {
        this.down = true;
        for (const socket of this.sockets) {
            socket.destroy();
        }
    }

    restore() {
        this.down = false;
    }
}

// jute longs arrive as 8-byte buffers.
const long = (buffer) => buffer.readBigInt64BE();

module.exports = { Line, call, close, connect, fails, long, until, useServer, zookeeper };
