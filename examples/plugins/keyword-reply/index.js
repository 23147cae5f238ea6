// Answers messages that contain a keyword, at most once per cooldown in a chat, and not in groups unless it is told to.

const FITS = {
  contains: (body, keyword) => body.includes(keyword),
  exact: (body, keyword) => body === keyword,
  starts: (body, keyword) => body.startsWith(keyword),
};

function find(rules, text) {
  const body = text.trim().toLowerCase();
  return rules.findIndex((rule) => rule.keyword && FITS[rule.match || 'contains'](body, rule.keyword.trim().toLowerCase()));
}

module.exports = class KeywordReply {
  async onEnable(ctx) {
    ctx.registerHook('message:received', async (hook) => {
      const { rules = [], cooldownSec = 60, groups = false } = ctx.config;
      const message = hook.data;
      if (message.fromMe || !message.body || (message.isGroup && !groups)) return { continue: true };
      const found = find(rules, message.body);
      if (found < 0) return { continue: true };
      // The time is kept in storage: a restart does not answer everybody again.
      const memory = ctx.storage.forSession(hook.sessionId);
      const key = `answered:${found}:${message.chatId}`;
      const last = (await memory.get(key)) ?? 0;
      const now = hook.timestamp.getTime();
      if (now - last < cooldownSec * 1000) return { continue: true };
      await memory.set(key, now);
      await ctx.messages.reply(hook.sessionId, message.chatId, message.id, rules[found].reply);
      // It is answered: plugins behind this one are not to answer it again.
      return { continue: false };
    }, 80);
  }
};
