"use strict";

// SHA-256 (FIPS 180-4) and the canonical JSON that it is taken of. Browsers offer crypto.subtle to
// pages from a server only, and this page is a file.

const SHA256_CONSTANTS = (function () {
  // Fractions of the cube roots of the first 64 primes, of the square roots of the first 8.
  const primes = [];
  for (let n = 2; primes.length < 64; n++) {
    if (primes.every(function (p) { return n % p !== 0; })) primes.push(n);
  }
  function fraction(x) { return Math.floor((x - Math.floor(x)) * 4294967296) | 0; }
  return {
    rounds: primes.map(function (p) { return fraction(Math.cbrt(p)); }),
    start: primes.slice(0, 8).map(function (p) { return fraction(Math.sqrt(p)); })
  };
})();

// Hex digest of a text of ASCII characters.
function sha256(text) {
  const length = text.length;
  const words = new Int32Array(((length + 72) >> 6) << 4);
  for (let i = 0; i < length; i++) words[i >> 2] |= text.charCodeAt(i) << (24 - 8 * (i & 3));
  words[length >> 2] |= 0x80 << (24 - 8 * (length & 3));
  words[words.length - 2] = Math.floor(length / 536870912);
  words[words.length - 1] = length << 3;
  const rotate = function (x, n) { return (x >>> n) | (x << (32 - n)); };
  const hash = SHA256_CONSTANTS.start.slice();
  const w = new Int32Array(64);
  for (let offset = 0; offset < words.length; offset += 16) {
    for (let i = 0; i < 64; i++) {
      if (i < 16) {
        w[i] = words[offset + i];
      } else {
        const x = w[i - 15], y = w[i - 2];
        const s0 = rotate(x, 7) ^ rotate(x, 18) ^ (x >>> 3);
        const s1 = rotate(y, 17) ^ rotate(y, 19) ^ (y >>> 10);
        w[i] = (w[i - 16] + s0 + w[i - 7] + s1) | 0;
      }
    }
    let [a, b, c, d, e, f, g, h] = hash;
    for (let i = 0; i < 64; i++) {
      const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + SHA256_CONSTANTS.rounds[i] + w[i]) | 0;
      const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g; g = f; f = e; e = (d + t1) | 0;
      d = c; c = b; b = a; a = (t1 + t2) | 0;
    }
    [a, b, c, d, e, f, g, h].forEach(function (value, i) { hash[i] = (hash[i] + value) | 0; });
  }
  return hash.map(function (x) { return ("0000000" + (x >>> 0).toString(16)).slice(-8); }).join("");
}

// The text that Python gives for json.dumps(value, sort_keys=True, separators=(",", ":")), for
// values without numbers that the two languages write in different ways (those below 1e-6 and from
// 1e16 on) and with ASCII keys.
function canonicalJson(value) {
  if (Array.isArray(value)) return "[" + value.map(canonicalJson).join(",") + "]";
  if (value !== null && typeof value === "object") {
    return "{" + Object.keys(value).sort().map(function (key) {
      return canonicalJson(key) + ":" + canonicalJson(value[key]);
    }).join(",") + "}";
  }
  return JSON.stringify(value).replace(/[\u007f-\uffff]/g, function (c) {
    return "\\u" + ("000" + c.charCodeAt(0).toString(16)).slice(-4);
  });
}

// The result file's object with its digest, which shows accidental or casual edits only: whoever
// edits on purpose can compute it anew.
function withDigest(result) {
  return Object.assign({}, result, { digest: sha256(canonicalJson(result)) });
}
