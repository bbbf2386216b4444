"""The tests of rldlib; shared builders are imported from here."""
