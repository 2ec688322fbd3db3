"""What was said, and how much of it was heard."""

from __future__ import annotations

from uuid import UUID

from audiosocket_gw.call.replies import MAX_ALIGNED, MAX_OPEN, Replies, interruption_notice
from audiosocket_gw.elevenlabs.messages import Alignment
from audiosocket_gw.events import ReplyHeard

CALL = UUID(int=1)


def aligned(text: str, ms: int) -> Alignment:
    """Each character takes ``ms``."""
    return tuple((number * ms, character) for number, character in enumerate(text, 1))


def test_a_reply_that_was_heard_is_heard_to_its_last_word() -> None:
    replies = Replies(CALL)
    replies.words(1, "Hello there, caller.")
    replies.audio(1, 0, 500, ())
    replies.audio(1, 500, 2_000, ())
    (reply,) = replies.close(2_000, 7.0)
    assert reply == ReplyHeard(
        CALL, 7.0, 1, "Hello there, caller.", "Hello there, caller.", 2_000, 2_000, interrupted=False
    )
    assert not reply.interrupted
    assert replies.close(2_000, 7.0) == []


def test_without_alignment_the_words_are_cut_in_proportion_and_whole() -> None:
    replies = Replies(CALL)
    replies.audio(1, 1_000, 3_000, ())
    replies.words(1, "one two three four five")
    (reply,) = replies.close(2_000, 7.0)
    assert (reply.heard, reply.heard_ms, reply.interrupted) == ("one two", 1_000, True)


def test_alignment_counts_from_the_piece_it_came_with() -> None:
    replies = Replies(CALL)
    replies.words(7, "abcdef")
    replies.audio(7, 100, 400, aligned("abc", 100))
    replies.audio(7, 400, 700, aligned("def", 100))
    (reply,) = replies.close(550, 7.0)
    assert (reply.text, reply.heard) == ("abcdef", "abcd")


def test_alignment_gives_the_words_where_the_text_never_came() -> None:
    replies = Replies(CALL)
    replies.audio(7, 0, 600, aligned("no text", 60))
    (reply,) = replies.close(200, 7.0)
    assert (reply.text, reply.heard) == ("no text", "no")


def test_several_replies_in_the_queue_are_cut_off_together() -> None:
    replies = Replies(CALL)
    replies.words(1, "first")
    replies.audio(1, 0, 1_000, ())
    replies.words(2, "second reply")
    replies.audio(2, 1_000, 2_000, ())
    replies.words(3, "third")
    replies.audio(3, 2_000, 3_000, ())
    heard = replies.close(1_600, 7.0)
    assert [(reply.heard, reply.heard_ms) for reply in heard] == [("first", 1_000), ("second", 600), ("", 0)]


def test_the_last_reply_stays_open_when_the_queue_runs_dry() -> None:
    replies = Replies(CALL)
    replies.audio(1, 0, 100, ())
    replies.audio(2, 100, 200, ())
    assert [reply.reply for reply in replies.close_earlier(200, 7.0)] == [1]
    replies.audio(2, 200, 300, ())
    assert [(reply.reply, reply.length_ms) for reply in replies.close(300, 7.0)] == [(2, 200)]


def test_text_without_an_id_belongs_to_the_reply_that_has_none_yet() -> None:
    replies = Replies(CALL)
    replies.audio(1, 0, 100, ())
    replies.words(None, "after its audio")
    replies.words(None, "before its audio")
    replies.audio(2, 100, 200, ())
    assert [reply.text for reply in replies.close(200, 7.0)] == ["after its audio", "before its audio"]


def test_words_that_no_audio_follows_are_forgotten() -> None:
    replies = Replies(CALL)
    for number in range(1_000):
        replies.words(number, "never spoken")
    replies.audio(1_000, 0, 20, ())
    assert replies.close(20, 7.0) == [ReplyHeard(CALL, 7.0, 1_000, "", "", 20, 20, interrupted=False)]


def test_words_without_spaces_are_cut_at_a_character() -> None:
    replies = Replies(CALL)
    replies.words(1, "こんにちは、元気ですか")
    replies.audio(1, 0, 1_100, ())
    assert replies.close(500, 7.0)[0].heard == "こんにちは"


def test_an_alignment_of_other_words_tells_how_many_were_heard() -> None:
    replies = Replies(CALL)
    replies.words(1, "It is 12 euros")
    replies.audio(1, 0, 2_000, aligned("It is twelve euros..", 100))
    assert replies.close(1_300, 7.0)[0].heard == "It is 12"


def test_an_alignment_that_can_not_be_true_counts_for_nothing() -> None:
    replies = Replies(CALL)
    replies.words(1, "one two three four")
    replies.audio(1, 0, 2_000, tuple((0, character) for character in "one two three four"))
    replies.audio(2, 2_000, 3_000, ((900, "a"), (100, "b"), (1_000, "c")))
    heard = replies.close(2_500, 7.0)
    assert [reply.heard for reply in heard] == ["one two three four", ""]
    replies.words(3, "one two three four")
    replies.audio(3, 3_000, 5_000, tuple((0, character) for character in "one two three four"))
    assert replies.close(4_000, 7.0)[0].heard == "one two"


def test_several_texts_may_come_before_their_audio() -> None:
    replies = Replies(CALL)
    replies.words(1, "first")
    replies.words(2, "second")
    replies.audio(1, 0, 100, ())
    replies.audio(2, 100, 200, ())
    assert [reply.text for reply in replies.close(200, 7.0)] == ["first", "second"]


def test_text_without_an_id_is_not_kept_for_another_reply() -> None:
    replies = Replies(CALL)
    replies.audio(1, 0, 100, ())
    replies.words(1, "first")
    replies.words(None, "of the first, too")
    replies.close(50, 7.0)
    replies.audio(2, 100, 200, ())
    assert replies.close(200, 7.0)[0].text == ""


def test_an_agent_is_told_what_was_heard_in_few_words() -> None:
    def heard(text: str, ms: int) -> ReplyHeard:
        return ReplyHeard(CALL, 7.0, 1, text + " and more", text, ms, 90_000, interrupted=True)

    assert (
        interruption_notice([heard("one two", 900)])
        == 'The caller interrupted you, and heard only: "one two"'
    )
    long = interruption_notice([heard("word " * 100_000, 80_000)])
    assert len(long) < 600 and long.endswith('word "')
    assert interruption_notice([heard("", 2_208)]) == (
        "The caller interrupted you, and heard only the first 2 s of your reply."
    )
    assert (
        interruption_notice([heard("", 20)])
        == "The caller interrupted you, and heard nothing of your last reply."
    )


# What is kept is limited


def test_alignment_is_kept_of_twenty_minutes() -> None:
    replies = Replies(CALL)
    for number in range(100):
        replies.audio(number // 50, 100 * number, 100 * number + 100, aligned("a" * 1_000, 1))
    first, second = replies.close(10_000, 7.0)
    assert len(first.text) + len(second.text) == MAX_ALIGNED


def test_what_was_heard_beyond_the_alignment_is_estimated() -> None:
    replies = Replies(CALL)
    replies.words(1, "word " * 10_000)
    replies.audio(1, 0, 3_000_000, aligned("word " * 10_000, 60))
    (reply,) = replies.close(2_900_000, 7.0)
    assert 45_000 < len(reply.heard) < 50_000


def test_ids_that_change_with_each_piece_do_not_make_replies_without_end() -> None:
    replies = Replies(CALL)
    for number in range(10 * MAX_OPEN):
        replies.audio(number, 20 * number, 20 * number + 20, ())
    closed = replies.close(20 * 10 * MAX_OPEN, 7.0)
    assert len(closed) == MAX_OPEN
    assert sum(reply.heard_ms for reply in closed) == 20 * 10 * MAX_OPEN
