/**
 * The card's side of vpcd, the virtual reader of pcscd. A card in the reader is a connection to
 * vpcd's port. Each message, in both directions, is a length of two bytes and that many bytes. One
 * byte is a control message, more are an APDU.
 *
 * vpcd sends length and content in two small packets, so its system holds the second one back until
 * the first is acknowledged. Our system delays the acknowledgement by 40 ms, to send it together
 * with data. So we send data early: every answer here is shorter than 256 bytes, so its length
 * begins with a zero, and that byte is sent as soon as a command's length has arrived.
 */
import { connect } from "node:net";
import { ApduChannel } from "./apdu.mjs";

/** T=1, and historical bytes of our own, so that OpenSC treats it as a generic PIV card. */
export const ATR = (() => {
  const bytes = Buffer.concat([Buffer.from("878001", "hex"), Buffer.from("p11seal")]);
  const check = bytes.reduce((sum, byte) => sum ^ byte, 0);
  return Buffer.concat([Buffer.of(0x3b), bytes, Buffer.of(check)]);
})();

const CONTROL = { off: 0, on: 1, reset: 2, atr: 4 };

/**
 * @typedef {object} Card
 * @property {(command: import("./apdu.mjs").Command) => Promise<Buffer>} answer
 * @property {() => void} reset power was lost
 */

/**
 * Inserts a card into the reader that listens on `port`.
 * @param {number} port
 * @param {Card} card
 * @returns {Promise<{ remove: () => Promise<void> }>} `remove` takes it out; a command in progress
 *   is never answered
 */
export function insert(port, card) {
  card.reset();
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    const closed = new Promise((/** @type {(value: void) => void} */ done) => {
      socket.once("close", () => done());
    });
    socket.once("error", reject);
    socket.once("connect", () => {
      const finish = serve(socket, card);
      resolve({
        remove() {
          card.reset();
          finish();
          return closed;
        },
      });
    });
  });
}

/**
 * @param {import("node:net").Socket} socket
 * @param {Card} card
 * @returns {() => void} breaks the connection
 */
function serve(socket, card) {
  const channel = new ApduChannel((command) => card.answer(command));
  let pending = Buffer.alloc(0);
  let isAnnounced = false;

  /** @param {Buffer} message */
  const reply = (message) => {
    if (socket.destroyed) return;
    const whole = Buffer.concat([Buffer.of(0, message.length), message]);
    socket.write(isAnnounced ? whole.subarray(1) : whole);
    isAnnounced = false;
  };
  socket.on("data", (bytes) => {
    pending = Buffer.concat([pending, bytes]);
    while (pending.length >= 2) {
      const size = pending.readUInt16BE(0);
      if (pending.length < 2 + size) {
        if (size > 1 && !isAnnounced) {
          isAnnounced = true;
          socket.write(Buffer.of(0));
        }
        return;
      }
      const message = pending.subarray(2, 2 + size);
      pending = pending.subarray(2 + size);
      if (size > 1) {
        void channel.transmit(message).then(reply);
      } else if (message[0] === CONTROL.atr) {
        reply(ATR);
      } else if (message[0] === CONTROL.off || message[0] === CONTROL.reset) {
        channel.reset();
        card.reset();
      }
    }
  });
  return () => {
    // Half a length would crash vpcd. A length without its message is only an incomplete answer.
    if (isAnnounced) socket.write(Buffer.of(2));
    isAnnounced = false;
    socket.destroySoon();
  };
}
