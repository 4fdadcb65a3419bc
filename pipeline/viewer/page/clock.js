// Movie time: that of the playing movie, whose own clock is ahead by `offset`, or, where there is none, our own.
"use strict";

rhas.clock = (() => {
  const INSIDE = 0.001; // s behind a frame's beginning: containers and players round

  class Clock {
    /** `moved` is called whenever the time is another. */
    constructor(video, moved) {
      Object.assign(this, { video, moved, time: 0, end: 0, offset: 0, media: false, playing: false, rate: 1 });
      this.target = null; // of a seek that waits for another one
      const tick = () => {
        if (this.playing) this.follow();
        requestAnimationFrame(tick);
      };
      requestAnimationFrame(tick);
      video.addEventListener("seeked", () => {
        if (this.target !== null) {
          const next = this.target;
          this.target = null;
          this.seekVideo(next);
        }
        this.moved();
      });
      video.addEventListener("ended", () => this.pause());
      if (video.requestVideoFrameCallback) {
        const frame = (_, { mediaTime }) => {
          if (this.playing && this.media) this.set(mediaTime - this.offset);
          video.requestVideoFrameCallback(frame);
        };
        video.requestVideoFrameCallback(frame);
      }
    }

    open(source, offset, end) {
      this.pause();
      Object.assign(this, { time: 0, end, offset, media: Boolean(source), target: null });
      if (source) {
        this.video.src = source;
        this.seekVideo(0);
      } else {
        this.video.removeAttribute("src");
        this.video.load();
      }
      this.video.hidden = !source;
      this.moved();
    }

    set(time) {
      this.time = Math.min(Math.max(time, 0), this.end);
      this.moved();
    }

    follow() {
      if (this.media) {
        if (!this.video.requestVideoFrameCallback) this.set(this.video.currentTime - this.offset);
      } else {
        const now = performance.now();
        this.set(this.time + ((now - this.last) / 1000) * this.rate);
        this.last = now;
        if (this.time >= this.end) this.pause();
      }
    }

    seek(time) {
      this.set(time);
      if (this.media) {
        if (this.video.seeking) this.target = this.time;
        else this.seekVideo(this.time);
      }
    }

    seekVideo(time) {
      this.video.currentTime = Math.max(0, time + this.offset + INSIDE);
    }

    play() {
      this.playing = true;
      this.last = performance.now();
      if (this.media) this.video.play().catch(() => this.pause());
      this.moved();
    }

    pause() {
      this.playing = false;
      this.video.pause();
      this.moved();
    }

    toggle() {
      if (this.playing) this.pause();
      else this.play();
    }

    setRate(rate) {
      this.rate = rate;
      this.video.playbackRate = rate;
    }
  }

  /** Hours, minutes, seconds and milliseconds. */
  function text(time) {
    const ms = Math.round(time * 1000);
    const two = (n) => String(n).padStart(2, "0");
    const hours = Math.floor(ms / 3600000);
    const minutes = Math.floor(ms / 60000) % 60;
    const rest = `${two(Math.floor(ms / 1000) % 60)}.${String(ms % 1000).padStart(3, "0")}`;
    return hours ? `${hours}:${two(minutes)}:${rest}` : `${minutes}:${rest}`;
  }

  return { Clock, text };
})();
